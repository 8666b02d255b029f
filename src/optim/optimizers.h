// Every optimizer that a config can name, and the `optimizer:` of a config with its parameter groups.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "config/registry.h"
#include "nn/module.h"
#include "optim/optimizer.h"

namespace rstorch::optim {

using OptimizerRegistry = config::Registry<Optimizer, std::vector<Tensor>>;
const OptimizerRegistry& optimizers();

// Parameters by group: [0] those that no pattern matched, [i] those of `groups[i - 1]`.
using ParameterGroups = std::vector<std::vector<nn::NamedTensor>>;

// `optimizer: {type: SGD, lr: 0.4, groups: [{match: ".*bias", weight_decay: 0}]}`, checked. A group has a regular
// expression for whole parameter names and any settings of the optimizer; the others are those of the optimizer. First
// match wins.
class OptimizerSpec {
 public:
  static OptimizerSpec read(const config::Value& value, config::Report& report);
  // False where an error was reported.
  explicit operator bool() const { return !recipes_.empty(); }

  // Those of the parameters that require grad. A pattern that matches nothing goes to the report.
  ParameterGroups assign(const std::vector<nn::NamedTensor>& parameters, config::Report& report) const;
  // groups[i]: the tensors of group i (parameters, or an arena's flat tensors); there may be none.
  std::unique_ptr<Optimizer> make(const std::vector<std::vector<Tensor>>& groups) const;
  double lr() const { return lr_; }                            // of the first group
  const config::Value& resolved() const { return resolved_; }  // {SGD: {every key, groups: ...}}

 private:
  std::vector<OptimizerRegistry::Recipe> recipes_;  // by group
  std::vector<config::Value> patterns_;             // of groups 1, 2, ...
  config::Value resolved_;
  double lr_ = 0;
};

// State under names that do not depend on how parameters are grouped or laid out: "fc.weight/exp_avg", and
// "fc.weight/step" (i64, 0-d). The tensors share memory with the optimizer, but for steps.
class ParameterArena;
std::vector<nn::NamedTensor> named_state(Optimizer& optimizer, const std::vector<nn::NamedTensor>& parameters);
std::vector<nn::NamedTensor> named_state(Optimizer& optimizer, const ParameterArena& arena);
// Throws CheckpointError naming every key that is missing, unexpected or misshapen; nothing was written then.
void load_named_state(Optimizer& optimizer, const std::vector<nn::NamedTensor>& parameters,
                      const std::vector<nn::NamedTensor>& state);
void load_named_state(Optimizer& optimizer, const ParameterArena& arena, const std::vector<nn::NamedTensor>& state);

}  // namespace rstorch::optim
