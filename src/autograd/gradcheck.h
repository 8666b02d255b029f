// Compares a gradient from autograd with central finite differences.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "tensor/tensor.h"

namespace rstorch {

struct GradcheckOptions {
  double epsilon = 1e-6;  // step of the differences
  double atol = 1e-6;
  double rtol = 1e-4;
  uint64_t seed = 0;      // of the random cotangent
};

struct GradcheckResult {
  bool ok = true;
  double max_error = 0;  // largest |analytic - numeric|
  std::string message;   // empty, or the first element that differs: input, index, both values
  explicit operator bool() const { return ok; }
};

// Checks d <f(inputs), dy> / d inputs for a random cotangent dy: a sum would hide errors (softmax's gradient of a sum is zero).
// Those that require grad are checked and must be contiguous f64 CPU tensors, else DTypeError. Undefined ones are passed on.
GradcheckResult gradcheck(const std::function<Tensor(const std::vector<Tensor>&)>& f, const std::vector<Tensor>& inputs,
                          const GradcheckOptions& options = {});

}  // namespace rstorch
