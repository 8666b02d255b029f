// Whether model, loss and metrics fit the data: found by shapes alone, before anything is computed or written.
//
// The model runs on the meta device, its output goes through the loss and each metric. Both throw ConfigReport, which
// points at the last layer, the loss, the metric or the size of the batch.
#pragma once

#include "train/experiment.h"

namespace rstorch {

// For samples like these.
void check_fit(const Experiment& experiment, const data::SampleSpec& spec);
// And for every size that a batch of `samples` training samples has: BatchNorm needs more than one.
// Parts of a batch are those of so many ranks together.
void check_training_fit(const Experiment& experiment, const data::SampleSpec& spec, int64_t samples, int ranks = 1);

}  // namespace rstorch
