// A checkpoint as something to use: its config, its model with weights, its view of the data. Nothing but the
// checkpoint is needed, and the data it names.
#pragma once

#include <functional>
#include <span>
#include <string>

#include "train/checkpoint.h"
#include "train/evaluator.h"
#include "train/experiment.h"
#include "train/training_state.h"

namespace rstorch {

class SavedModel {
 public:
  // `overrides`: key=value, as on the command line. `change`, if given, works on the config before it is checked.
  // Throws CheckpointError and ConfigReport.
  SavedModel(const files::Path& path, std::span<const std::string> overrides,
             const std::function<void(config::Value& root)>& change = {});

  const Checkpoint& checkpoint() const { return checkpoint_; }
  const Experiment& experiment() const { return experiment_; }
  const TrainingState& state() const { return state_; }

  // The validation data of its config. Throws DataError where there is none.
  data::DatasetPtr open_data() const;
  // The model for such data, with the checkpoint's weights, in evaluation mode.
  nn::BuiltModel build_model(const data::SampleSpec& spec, Device device) const;

 private:
  Checkpoint checkpoint_;
  TrainingState state_;
  Experiment experiment_;
};

// Loss and metrics over its validation data: what training measured at that step, bit for bit.
Metrics evaluate(const SavedModel& saved, dist::ProcessGroup& group);

// Puts other data in the place of a config's validation data: a path, or a dataset as in a config
// (`{type: csv, path: a.csv}`), whose keys go over those of the config's own dataset. For errors, `report`.
void use_data(config::Value& root, const std::string& data, config::Report& report);

}  // namespace rstorch
