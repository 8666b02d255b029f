// Linear layers: one product with bias and activation in its epilogue.
#include "kernels/copy.h"
#include "kernels/cuda/bias.h"
#include "kernels/cuda/gemm.h"
#include "kernels/cuda/install.h"
#include "kernels/elementwise.h"
#include "kernels/matmul.h"

namespace rstorch::kernels {
namespace {

// cuBLASLt's GELU is by tanh, and for f32 by an approximate one. In double it has the product alone.
bool has_epilogue(DType dtype, Activation activation) {
  return dtype != DType::f64 && (dtype != DType::f32 || activation != Activation::gelu_tanh);
}

void linear_cuda(CudaStream& stream, ConstView x, ConstView w, ConstView bias, Activation activation, View z, View y) {
  const int64_t in = x.size(1);
  if (y.numel() == 0) return;
  const View sums = z.defined() ? z : y;  // what the activation is applied to
  if (in == 0) {
    fill.cuda(stream, sums, 0);
  } else {
    Gemm product{.dtype = y.dtype,
                 .y_dtype = y.dtype,
                 .rows = y.size(0),
                 .inner = in,
                 .columns = y.size(1),
                 .a = {x.data, {false, in}},
                 .c = {w.data, {true, in}},
                 .bias = bias.data,
                 .activation = activation,
                 .z = z.data,
                 .y = y.data};
    if (has_epilogue(y.dtype, activation) && try_gemm(stream, product)) return;
    product.bias = y.dtype == DType::f64 ? nullptr : bias.data;
    product.activation = Activation::none;
    product.z = nullptr;
    product.y = sums.data;
    gemm(stream, product);
    if (product.bias) bias = {};
  }
  add_bias(stream, bias, z.defined() ? Activation::none : activation, sums);
  if (z.defined()) Unary<GeluTanh>::forward.cuda(stream, {}, z, y);
}

// The bias gradient in the epilogue of the product, where cuBLASLt has that, else in a pass of its own.
void linear_backward_weights_cuda(CudaStream& stream, ConstView dz, ConstView x, View dw, View dbias) {
  const int64_t rows = dz.size(0), out = dz.size(1), in = x.size(1);
  if (rows == 0 || dw.numel() == 0) {  // sums of nothing
    if (dw.numel() > 0) fill.cuda(stream, dw, 0);
    if (dbias.defined()) activation_backward(stream, dz, {}, Activation::none, {}, dbias);
    return;
  }
  Gemm product{.dtype = dz.dtype,
               .y_dtype = dw.dtype,
               .rows = out,
               .inner = rows,
               .columns = in,
               .a = {dz.data, {true, out}},
               .c = {x.data, {false, in}},
               .a_sums = dz.dtype == DType::f64 ? nullptr : dbias.data,
               .y = dw.data};
  if (product.a_sums && try_gemm(stream, product)) return;
  product.a_sums = nullptr;
  gemm(stream, product);
  if (dbias.defined()) activation_backward(stream, dz, {}, Activation::none, {}, dbias);
}

}  // namespace

void install_linear() {
  linear.cuda = linear_cuda;
  linear_backward_activation.cuda = activation_backward;
  linear_backward_weights.cuda = linear_backward_weights_cuda;
}

}  // namespace rstorch::kernels
