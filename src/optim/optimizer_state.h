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

// `parameters`: those that the optimizer was made of, and maybe others. Throws ArgumentError where the optimizer
// updates one that is not among them: without a name no state can be saved.
std::vector<nn::NamedTensor> named_state(Optimizer& optimizer, const std::vector<nn::NamedTensor>& parameters);
// For an optimizer of arena.flat_groups(), or of slices of these: of the parameters that lie in them. Throws
// ArgumentError for a slice that holds none, InternalError where one lies in two.
std::vector<nn::NamedTensor> named_state(Optimizer& optimizer, const ParameterArena& arena);

// Throws CheckpointError naming every key that is missing, unexpected or misshapen, or two step counts for what has one
// here, as parameters of a block have; nothing was written then.
void load_named_state(Optimizer& optimizer, const std::vector<nn::NamedTensor>& parameters,
                      const std::vector<nn::NamedTensor>& state);
void load_named_state(Optimizer& optimizer, const ParameterArena& arena, const std::vector<nn::NamedTensor>& state);

}  // namespace rstorch::optim
