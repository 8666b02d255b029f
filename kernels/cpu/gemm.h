// The matrix product of the CPU: f32 and f64, the same bits for any number of threads.
//
// Blocked and packed as in BLIS (Van Zee & van de Geijn 2015). Each element of y is a sum in the order of k, whatever
// the blocking, so threads may share the work in any way. oneDNN's sgemm has the same speed here but splits k by
// threads.
#pragma once

#include <cstdint>

#include "base/stream.h"
#include "kernels/options.h"

namespace rstorch::kernels {

template <class T>
struct Matrix {
  T* data = nullptr;
  int64_t rows = 0, columns = 0;
  int64_t row_stride = 0, column_stride = 1;

  T* at(int64_t row, int64_t column) const { return data + row * row_stride + column * column_stride; }
  // Rows [top, bottom) and columns [left, right).
  Matrix part(int64_t top, int64_t bottom, int64_t left, int64_t right) const {
    return {at(top, left), bottom - top, right - left, row_stride, column_stride};
  }
  Matrix transposed() const { return {data, columns, rows, column_stride, row_stride}; }
};

// What happens to an element of the product before it is written: y = activation(z), z = product + bias of its column.
template <class T>
struct Epilogue {
  const T* bias = nullptr;
  Activation activation = Activation::none;
  T* z = nullptr;  // where that is written too, laid out as y
};

// y = a b. The columns of y are contiguous (column_stride 1), a and b have any strides.
template <class T>
void gemm(const CpuStream& stream, Matrix<const T> a, Matrix<const T> b, Matrix<T> y, const Epilogue<T>& epilogue = {});

extern template void gemm(const CpuStream&, Matrix<const float>, Matrix<const float>, Matrix<float>,
                          const Epilogue<float>&);
extern template void gemm(const CpuStream&, Matrix<const double>, Matrix<const double>, Matrix<double>,
                          const Epilogue<double>&);

}  // namespace rstorch::kernels
