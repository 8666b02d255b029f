// Optimizer state for checkpoints: under names that do not depend on how parameters are grouped or laid out.
//
// "fc.weight/exp_avg" has the parameter's shape and shares memory with the optimizer; "fc.weight/step" is a number,
// i64.
#pragma once

#include <vector>

#include "nn/module.h"
#include "optim/optimizer.h"
#include "optim/parameter_arena.h"

namespace rstorch::optim {

// `parameters`: those that the optimizer was made of, and maybe others; without a name no state can be saved.
std::vector<nn::NamedTensor> named_state(Optimizer& optimizer, const std::vector<nn::NamedTensor>& parameters);
// For an optimizer of arena.flat_groups().
std::vector<nn::NamedTensor> named_state(Optimizer& optimizer, const ParameterArena& arena);

// Throws CheckpointError naming every key that is missing, unexpected or misshapen; nothing was written then.
void load_named_state(Optimizer& optimizer, const std::vector<nn::NamedTensor>& parameters,
                      const std::vector<nn::NamedTensor>& state);
void load_named_state(Optimizer& optimizer, const ParameterArena& arena, const std::vector<nn::NamedTensor>& state);

}  // namespace rstorch::optim
