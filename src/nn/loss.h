// Loss: a number to minimise, from a model's output and the target.
//
// A mean over a part of a batch is no part of the mean over the whole; ranks and accumulation steps therefore add up
// sum() and divide by the count() of the whole batch. forward() is sum() / count() in one op.
#pragma once

#include "tensor/tensor.h"

namespace rstorch::nn {

class Loss {
 public:
  virtual ~Loss() = default;
  // By the loss's `reduction`; mean by default: a 0-d tensor.
  virtual Tensor forward(const Tensor& input, const Tensor& target) const = 0;
  virtual Tensor sum(const Tensor& input, const Tensor& target) const = 0;
  // What the mean divides by: samples, elements, or the weights of the targets that are not ignored. 0-d, of input's
  // dtype and device; not recorded.
  virtual Tensor count(const Tensor& input, const Tensor& target) const = 0;
  // Class weights, where there are some.
  virtual void to(Device) {}

  Tensor operator()(const Tensor& input, const Tensor& target) const { return forward(input, target); }
};

}  // namespace rstorch::nn
