// The members of Tensor that write to it. The gradient of what was there before goes on to its origin.
#include "kernels/copy.h"
#include "ops/broadcast.h"
#include "ops/elementwise.h"
#include "ops/op.h"
#include "ops/ops.h"

namespace rstorch {

Tensor& Tensor::add_(const Tensor& other, Scalar alpha) {
  const Alpha kind = kind_of_alpha("add_", *this, other, alpha);
  if (kind == Alpha::one)
    binary_in_place<kernels::Add>("add_", *this, other);
  else if (kind == Alpha::integer)
    binary_in_place<kernels::Add>("add_", *this, mul(other.to(result_type(*this, other)), alpha));
  else
    binary_in_place("add_", *this, other, kernels::AddScaled{alpha.as<double>()});
  return *this;
}

Tensor& Tensor::sub_(const Tensor& other, Scalar alpha) {
  refuse_bool("sub_", *this);
  refuse_bool("sub_", other);
  const Alpha kind = kind_of_alpha("sub_", *this, other, alpha);
  if (kind == Alpha::one)
    binary_in_place<kernels::Sub>("sub_", *this, other);
  else if (kind == Alpha::integer)
    binary_in_place<kernels::Sub>("sub_", *this, mul(other.to(result_type(*this, other)), alpha));
  else
    binary_in_place("sub_", *this, other, kernels::AddScaled{-alpha.as<double>()});
  return *this;
}

Tensor& Tensor::lerp_(const Tensor& end, double weight) {
  binary_in_place("lerp_", *this, end, kernels::Lerp{weight});
  return *this;
}

Tensor& Tensor::mul_(const Tensor& other) {
  binary_in_place<kernels::Mul>("mul_", *this, other);
  return *this;
}

Tensor& Tensor::div_(const Tensor& other) {
  binary_in_place<kernels::Div>("div_", *this, other);
  return *this;
}

Tensor& Tensor::add_(Scalar other) {
  binary_in_place<kernels::Add>("add_", *this, other);
  return *this;
}

Tensor& Tensor::mul_(Scalar other) {
  binary_in_place<kernels::Mul>("mul_", *this, other);
  return *this;
}

Tensor& Tensor::fill_(Scalar value) {
  const Op op("fill_");
  check_in_place("fill_", *this);
  View once = mutable_view();  // an element that an expanded tensor shows many times is written once
  for (int i = 0; i < once.dims(); ++i) {
    if (once.strides[i] == 0 && once.shape[i] > 1) once.shape[i] = 1;
  }
  kernels::fill(op.stream(*this), once, value);
  impl_->storage->bump_version();
  record_in_place("fill_", *this, inputs(*this), saves(), [](const Saved&, const Tensor&) { return Grads(1); });
  return *this;
}

Tensor& Tensor::copy_(const Tensor& source) {
  const Op op("copy_");
  op.require_defined("source", source);
  check_in_place("copy_", *this, inputs(*this, source));
  refuse_overlap("copy_", *this);
  const Shape shape = broadcast_shapes(this->shape(), source.shape(), "copy_");
  if (shape != this->shape()) {
    throw ShapeError(
        format("copy_: the source has shape {}, the tensor {}", source.shape().text(), this->shape().text()));
  }
  const Tensor from = share_memory(*this, source) ? source.clone() : source.to(device());
  kernels::copy(op.stream(*this), broadcast_view(from, shape), mutable_view());
  impl_->storage->bump_version();
  record_in_place("copy_", *this, inputs(*this, source), saves(),
                  [shape = source.shape(), dtype = source.dtype()](const Saved&, const Tensor& dy) {
                    return Grads{Tensor(), sum_to_shape(dy, shape).to(dtype)};
                  });
  return *this;
}

}  // namespace rstorch
