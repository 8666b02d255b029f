#include "kernels/matmul.h"
#include "ops/autocast.h"
#include "ops/matrix.h"
#include "ops/op.h"
#include "ops/ops.h"

namespace rstorch {
namespace {

// Weight and bias were of `dtype` before autocast; so are their gradients.
Grads linear_backward(const Saved& saved, const Tensor& dy, Activation activation, DType dtype) {
  const Tensor &x = saved[0], &w = saved[1], &kept = saved[2];
  Stream& stream = current_stream(x.device());
  const Tensor dy_rows = contiguous(dy);
  Tensor dz = dy_rows, dx, dw, dbias;
  if (saved.needs(2)) dbias = saved.empty_grad(2, {w.size(0)}, dtype, w.device());
  const bool masked = activation != Activation::none;
  if (masked) dz = empty_like(dy_rows);
  if (masked || (dbias.defined() && !saved.needs(1))) {
    kernels::linear_backward_activation(stream, as_rows(dy_rows.view()), masked ? as_rows(kept.view()) : ConstView(),
                                        activation, masked ? as_rows(dz.mutable_view()) : View(), dbias.mutable_view());
  }
  const ConstView dz_rows = as_rows(dz.view());
  if (saved.needs(0)) {
    dx = saved.empty_grad(0, x.shape(), x.dtype(), x.device());
    kernels::matmul(stream, as_batch(dz_rows), as_batch(w.view()), as_batch(as_rows(dx.mutable_view())));
  }
  if (saved.needs(1)) {
    dw = saved.empty_grad(1, w.shape(), dtype, w.device());
    kernels::linear_backward_weights(stream, dz_rows, as_rows(x.view()), dw.mutable_view(),
                                     masked ? View() : dbias.mutable_view());
  }
  return {dx, dw, dbias};
}

// For the product only: its backward pass gives gradients for what was there before, in that dtype.
Tensor lowered(const Tensor& parameter) {
  const NoGrad no_grad;
  return in_lower_precision(parameter);
}

Tensor linear_with(const Op& op, const Tensor& input, const Tensor& given_weight, const Tensor& given_bias,
                   Activation activation) {
  op.require_floating("x", input);
  if (given_bias.defined()) op.require_dtype("bias", given_bias, given_weight.dtype());
  const Tensor x = in_lower_precision(input), weight = lowered(given_weight), bias = lowered(given_bias);
  op.require_same_device("x", x, "weight", weight);
  op.require_dims("weight", weight, 2);
  op.require_dtype("weight", weight, x.dtype());
  if (x.dim() == 0 || x.size(-1) != weight.size(1)) {
    throw ShapeError(format("{}: x has shape {}, weight {}", op.name(), x.shape().text(), weight.shape().text()),
                     format("the last size of x must be the {} input features of weight", weight.size(1)));
  }
  if (bias.defined()) {
    op.require_same_device("x", x, "bias", bias);
    op.require_dtype("bias", bias, x.dtype());
    op.require_shape("bias", bias, {weight.size(0)});
  }
  const Tensor rows = contiguous(x), w = contiguous(weight), b = bias.defined() ? contiguous(bias) : bias;
  Shape shape = x.shape();
  shape[x.dim() - 1] = weight.size(0);
  const Tensor y = Tensor::empty(shape, x.options());
  const auto sources = inputs(rows, given_weight, given_bias);
  Tensor kept;  // for the backward pass
  if (activation == Activation::relu) kept = y;
  if (activation == Activation::gelu_tanh && is_recorded(sources)) kept = empty_like(y);
  const View z = activation == Activation::gelu_tanh && kept.defined() ? as_rows(kept.mutable_view()) : View();
  kernels::linear(op.stream(x), as_rows(rows.view()), w.view(), b.view(), activation, z, as_rows(y.mutable_view()));
  return op.record(y, sources, saves(rows, w, kept),
                   [activation, dtype = given_weight.dtype()](const Saved& saved, const Tensor& dy) {
                     return linear_backward(saved, dy, activation, dtype);
                   });
}

}  // namespace

Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  return linear_with(Op("linear"), x, weight, bias, Activation::none);
}

Tensor linear_relu(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  return linear_with(Op("linear_relu"), x, weight, bias, Activation::relu);
}

Tensor linear_gelu_tanh(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  return linear_with(Op("linear_gelu_tanh"), x, weight, bias, Activation::gelu_tanh);
}

}  // namespace rstorch
