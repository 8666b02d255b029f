// Matrix products.
#pragma once

#include <algorithm>

#include "kernels/kernel.h"
#include "kernels/options.h"

namespace rstorch::kernels {

// How the elements of a matrix lie, in BLAS's terms: element (i, j) is at i * leading + j, or, transposed, at j *
// leading + i.
struct MatrixLayout {
  bool transposed = false;
  int64_t leading = 0;  // 0: neither, the strides allow no such description
};

// Of the last two dimensions of a view. Strides of dimensions of size 1 do not matter.
inline MatrixLayout matrix_layout(const ConstView& view) {
  const int64_t rows = view.size(-2), columns = view.size(-1);
  const int64_t row = view.strides[view.dims() - 2], column = view.strides[view.dims() - 1];
  if ((column == 1 || columns <= 1) && (row >= columns || rows <= 1))
    return {false, rows <= 1 ? std::max<int64_t>(columns, 1) : std::max<int64_t>(row, 1)};
  if ((row == 1 || rows <= 1) && (column >= rows || columns <= 1))
    return {true, columns <= 1 ? std::max<int64_t>(rows, 1) : column};
  return {};
}

// y[b, i, j] = sum_k a[b, i, k] c[b, k, j]. All of one dtype.
// a [batch, rows, inner], c [batch, inner, columns], y [batch, rows, columns]. The batch of a and c may have any
// stride, 0 included; their matrices have a MatrixLayout; y is contiguous.
extern Kernel<ConstView /*a*/, ConstView /*c*/, View /*y*/> matmul;

// y[r, o] = activation(z[r, o]), z[r, o] = sum_i x[r, i] w[o, i] + bias[o]; f32, f64; all contiguous. `bias` may be
// undefined; z is for GELU, and undefined where no backward pass follows.
extern Kernel<ConstView /*x*/, ConstView /*w*/, ConstView /*bias*/, Activation, View /*z*/, View /*y*/> linear;
// dz = dy * activation'(kept), dbias[o] = sum_r dz[r, o], in one pass. What is kept of the forward pass is y for ReLU
// and z for GELU. For Activation::none, `kept` and `dz` are undefined and dbias sums dy. `dbias` may be undefined. dx
// is then a matmul.
extern Kernel<ConstView /*dy*/, ConstView /*kept*/, Activation, View /*dz*/, View /*dbias*/> linear_backward_activation;
// dw[o, i] = sum_r dz[r, o] x[r, i], dbias[o] = sum_r dz[r, o]; all contiguous. `dbias` may be undefined. On CUDA dw
// and dbias of halves may be f32.
extern Kernel<ConstView /*dz*/, ConstView /*x*/, View /*dw*/, View /*dbias*/> linear_backward_weights;

}  // namespace rstorch::kernels
