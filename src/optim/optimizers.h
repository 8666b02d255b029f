// Every optimizer that a config can name, and the `optimizer:` of a config with its parameter groups.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "config/registry.h"
#include "nn/module.h"
#include "nn/name_pattern.h"
#include "optim/optimizer.h"
#include "optim/optimizer_state.h"

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
  std::vector<nn::NamePattern> patterns_;           // of groups 1, 2, ...
  config::Value resolved_;
  double lr_ = 0;
};

}  // namespace rstorch::optim
