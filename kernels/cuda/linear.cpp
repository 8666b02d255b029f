// Linear layers: one product with bias and activation in its epilogue.
#include "kernels/copy.h"
#include "kernels/cuda/bias.h"
#include "kernels/cuda/gemm.h"
#include "kernels/cuda/install.h"
#include "kernels/matmul.h"

namespace rstorch::kernels {
namespace {

void linear_cuda(CudaStream& stream, ConstView x, ConstView w, ConstView bias, Activation activation, View y) {
  const int64_t in = x.size(1);
  if (y.numel() == 0) return;
  const bool fused = y.dtype != DType::f64;
  if (in == 0) {  // sums of nothing
    fill.cuda(stream, y, 0);
  } else {
    gemm(stream, {.dtype = y.dtype,
                  .rows = y.size(0),
                  .inner = in,
                  .columns = y.size(1),
                  .a = {x.data, {false, in}},
                  .c = {w.data, {true, in}},
                  .bias = fused ? bias.data : nullptr,
                  .activation = fused ? activation : Activation::none,
                  .y = y.data});
    if (fused) return;
  }
  add_bias(stream, bias, activation, y);
}

}  // namespace

void install_linear() {
  linear.cuda = linear_cuda;
  linear_backward_activation.cuda = activation_backward;
}

}  // namespace rstorch::kernels
