// What follows a product or a convolution that could not do it itself.
#pragma once

#include "base/view.h"
#include "kernels/kernel.h"
#include "kernels/options.h"

namespace rstorch::kernels {

// y[r, c] = activation(y[r, c] + bias[c]) for contiguous y [rows, columns]. `bias` may be undefined.
void add_bias(CudaStream& stream, ConstView bias, Activation activation, View y);

// dz[r, c] = dy[r, c] activation'(kept[r, c]) and dbias[c] = sum_r dz[r, c] in one pass; contiguous [rows, columns].
// Kept is y for ReLU, z for GELU. For Activation::none kept and dz are undefined and dbias sums dy. `dbias` may be
// undefined; of halves it may be f32.
void activation_backward(CudaStream& stream, ConstView dy, ConstView kept, Activation activation, View dz, View dbias);

}  // namespace rstorch::kernels
