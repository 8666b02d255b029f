// Matrix products.
#pragma once

#include "kernels/kernel.h"
#include "kernels/options.h"

namespace rstorch::kernels {

// y[b, i, j] = sum_k a[b, i, k] c[b, k, j]. All of one dtype.
// Views are 3-D: a [batch, rows, inner], c [batch, inner, columns], y [batch, rows, columns]. The batch may have any
// stride, 0 included. f32, f64: the matrices of a and c are row-major or transposed, with any leading dimension; y's
// are row-major. Integers: any strides.
extern Kernel<ConstView /*a*/, ConstView /*c*/, View /*y*/> matmul;

// y[r, o] = activation(sum_i x[r, i] w[o, i] + bias[o]); f32, f64; all contiguous. `bias` may be undefined.
extern Kernel<ConstView /*x*/, ConstView /*w*/, ConstView /*bias*/, Activation, View /*y*/> linear;
// dz = dy * activation'(y), dbias[o] = sum_r dz[r, o], in one pass. For Activation::none, `y` and `dz` are undefined
// and dbias sums dy. `dbias` may be undefined. What remains of the backward pass are two calls of matmul.
extern Kernel<ConstView /*dy*/, ConstView /*y*/, Activation, View /*dz*/, View /*dbias*/> linear_backward_activation;

}  // namespace rstorch::kernels
