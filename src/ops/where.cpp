#include "ops/broadcast.h"
#include "ops/elementwise.h"
#include "ops/op.h"
#include "ops/ops.h"

namespace rstorch {
namespace {

// condition ? a : b, in the dtype and shape of the arguments, not recorded.
Tensor select_elements(const Tensor& condition, const TensorOrNumber& a, const TensorOrNumber& b, const Shape& shape,
                       DType dtype) {
  Tensor y = Tensor::empty(shape, {dtype, condition.device()});
  kernels::where(current_stream(y.device()), broadcast_view(condition, shape), operand(a, shape), operand(b, shape),
                 y.mutable_view());
  return y;
}

}  // namespace

Tensor where(const Tensor& condition, const Tensor& a, const Tensor& b) {
  const Op op("where");
  op.require_dtype("condition", condition, kBool);
  op.require_same_device("condition", condition, "a", a);
  op.require_same_device("a", a, "b", b);
  const DType dtype = result_type(a, b);
  if (a.dtype() != dtype || b.dtype() != dtype) return where(condition, to(a, dtype), to(b, dtype));
  const Shape shape = broadcast_shapes(condition.shape(), broadcast_shapes(a.shape(), b.shape(), "where"), "where");
  Tensor y = select_elements(condition, a, b, shape, dtype);
  return op.record(y, inputs(a, b), saves(condition),
                   [a_shape = a.shape(), b_shape = b.shape()](const Saved& saved, const Tensor& dy) {
                     Grads grads(2);
                     const auto part = [&](const TensorOrNumber& chosen, const TensorOrNumber& other,
                                           const Shape& shape) {
                       return sum_to_shape(select_elements(saved[0], chosen, other, dy.shape(), dy.dtype()), shape);
                     };
                     if (saved.needs(0)) grads[0] = part(dy, Scalar(0), a_shape);
                     if (saved.needs(1)) grads[1] = part(Scalar(0), dy, b_shape);
                     return grads;
                   });
}

Tensor masked_fill(const Tensor& x, const Tensor& mask, Scalar value) {
  const Op op("masked_fill");
  op.require_dtype("mask", mask, kBool);
  op.require_same_device("x", x, "mask", mask);
  const Shape shape = broadcast_shapes(x.shape(), mask.shape(), "masked_fill");
  Tensor y = select_elements(mask, value, x, shape, x.dtype());
  return op.record(y, inputs(x), saves(mask), [shape = x.shape()](const Saved& saved, const Tensor& dy) {
    return Grads{sum_to_shape(select_elements(saved[0], Scalar(0), dy, dy.shape(), dy.dtype()), shape)};
  });
}

}  // namespace rstorch
