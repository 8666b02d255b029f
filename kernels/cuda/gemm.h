// Matrix products of floating types by cuBLASLt.
//
// The algorithm of a product is the first that cuBLASLt's heuristics name among those whose bits repeat. It is asked
// for once per thread, shape and alignment, and kept: later products of the kind only start it, as a captured step
// needs.
#pragma once

#include "base/stream.h"
#include "base/view.h"
#include "kernels/matmul.h"

namespace rstorch::kernels {

// A stack of matrices by rows; `layout` as in kernels/matmul.h.
struct Matrices {
  const void* data = nullptr;
  MatrixLayout layout;
  int64_t stride = 0;  // from one matrix to the next, in elements
};

// y[b, i, j] = activation(sum_k a[b, i, k] c[b, k, j] + bias[j]), y contiguous. No size is 0. f64 is without bias and
// activation: cuBLASLt has none for it.
struct Gemm {
  DType dtype;    // of a and c
  DType y_dtype;  // theirs, or f32
  int64_t batch = 1, rows = 0, inner = 0, columns = 0;
  Matrices a, c;
  const void* bias = nullptr;
  Activation activation = Activation::none;
  void* z = nullptr;       // what GELU is applied to is written there too, laid out as y
  void* a_sums = nullptr;  // sum_k a[i, k], of y's dtype; in place of bias and activation
  void* y = nullptr;
};
void gemm(CudaStream& stream, const Gemm& product);
// False, and nothing was done, where cuBLASLt cannot do all of it at once.
bool try_gemm(CudaStream& stream, const Gemm& product);

}  // namespace rstorch::kernels
