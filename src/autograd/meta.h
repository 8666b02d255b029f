// What a tensor that takes part in a graph carries beside its values.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "tensor/tensor.h"

namespace rstorch {

struct AutogradMeta {
  std::shared_ptr<Node> grad_fn;   // the operation that made this tensor; null for a leaf
  Tensor grad;                     // leaves only
  // A place that the gradient shall live in (a slice of the parameter arena), if any. `grad` is this very tensor once set.
  Tensor grad_buffer;
  std::vector<std::function<Tensor(const Tensor&)>> hooks;
  std::vector<std::function<void(const Tensor&)>> post_accumulate_hooks;

  // Used by the engine while a pass runs: the sum of what arrived at this leaf, and how many operations may still add.
  Tensor arriving;
  int pending = 0;
};

// The meta of a tensor, made if there is none.
AutogradMeta& autograd_meta(const Tensor& x);

}  // namespace rstorch
