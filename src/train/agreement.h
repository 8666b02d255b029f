// What all ranks must have alike before the first step: told apart while nothing is lost yet, and by name.
//
// All ranks call these together and throw the same error, which names the first rank that differs from rank 0, and in
// what. A group of one rank always agrees.
#pragma once

#include "data/data.h"
#include "dist/process_group.h"
#include "nn/module.h"
#include "train/experiment.h"

namespace rstorch {

// The command that each was started with, by its name. Throws UsageError.
void agree_on_command(dist::ProcessGroup& group, const std::string& name);
// The program, and the config but for where results go. Throws DistError, ConfigError.
void agree_on_config(dist::ProcessGroup& group, const Experiment& experiment);
// Sizes, shapes, what was learnt from the training data, and some samples of each dataset. Throws DataError.
void agree_on_data(dist::ProcessGroup& group, const data::OpenedData& data);
// Every bit of the parameters and buffers. Throws DistError.
void agree_on_weights(dist::ProcessGroup& group, const nn::Module& model);

}  // namespace rstorch
