#include "kernels/softmax.h"

#include "ops/autocast.h"
#include "ops/op.h"
#include "ops/ops.h"

namespace rstorch {
namespace {

// [outer, size, inner]: the dimension in the middle.
Shape around(const Tensor& x, int dim) {
  if (x.dim() == 0) return {1, 1, 1};
  return {x.shape().slice(0, dim).numel(), x.shape()[dim], x.shape().slice(dim + 1, x.dim()).numel()};
}

View shaped(const Tensor& x, const Shape& shape) { return {x.raw_data(), shape, contiguous_strides(shape), x.dtype()}; }

template <const auto& Forward, const auto& Backward>
Tensor apply(std::string_view name, const Tensor& input, int dim) {
  const Op op(name);
  op.require_floating("x", input);
  dim = op.require_dim("dim", dim, input);
  const Tensor x = contiguous(in_full_precision(input));
  const Shape shape = around(x, dim);
  Tensor y = empty_like(x);
  Forward(op.stream(x), shaped(x, shape), shaped(y, shape));
  return op.record(y, inputs(x), saves(y), [shape, op](const Saved& saved, const Tensor& gradient) {
    const Tensor dy = contiguous(gradient);
    Tensor dx = empty_like(dy);
    Backward(op.stream(dy), shaped(dy, shape), shaped(saved[0], shape), shaped(dx, shape));
    return Grads{dx};
  });
}

}  // namespace

Tensor softmax(const Tensor& x, int dim) {
  return apply<kernels::softmax, kernels::softmax_backward>("softmax", x, dim);
}

Tensor log_softmax(const Tensor& x, int dim) {
  return apply<kernels::log_softmax, kernels::log_softmax_backward>("log_softmax", x, dim);
}

}  // namespace rstorch
