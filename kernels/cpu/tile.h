// The innermost step of matrix products and convolutions: a tile of the result, two vectors wide, that stays in
// registers while the sum runs.
#pragma once

#include <cstdint>

#include "kernels/cpu/simd.h"

namespace rstorch::kernels {

template <class T, Isa isa>
struct Tile {
  static constexpr int bytes = isa == Isa::avx512 ? 64 : isa == Isa::avx2 ? 32 : 16;
  static constexpr int lanes = bytes / int(sizeof(T));
  static constexpr int rows = isa == Isa::avx512 ? 12 : isa == Isa::avx2 ? 6 : 4;
  static constexpr int columns = 2 * lanes;
  typedef T Vector __attribute__((vector_size(bytes), aligned(sizeof(T)), may_alias));
};

// What is multiplied: element (i, k) of a is a[k * a_step + i * a_row], (k, j) of b is b[k * b_step + j].
template <class T, int a_row = 1>
struct Terms {
  const T* a;
  int64_t a_step;
  const T* b;
  int64_t b_step;
  int64_t depth;
};

// y[i, j] = sum over k of a[i, k] b[k, j], or y += that unless `first`, for `rows` rows and Tile::columns columns.
template <class Tile, int rows, class T, int a_row>
[[gnu::always_inline]] inline void multiply_tile(Terms<T, a_row> terms, T* y, int64_t y_stride, bool first) {
  using Vector = typename Tile::Vector;
  Vector sum[rows][2];
#pragma GCC unroll 16
  for (int i = 0; i < rows; ++i) {
    sum[i][0] = sum[i][1] = Vector{};
    __builtin_prefetch(y + i * y_stride, 1);
  }
  for (int64_t k = 0; k < terms.depth; ++k) {
    const Vector b0 = *reinterpret_cast<const Vector*>(terms.b),
                 b1 = *reinterpret_cast<const Vector*>(terms.b + Tile::lanes);
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i) {
      sum[i][0] += terms.a[i * a_row] * b0;
      sum[i][1] += terms.a[i * a_row] * b1;
    }
    terms.a += terms.a_step;
    terms.b += terms.b_step;
  }
#pragma GCC unroll 16
  for (int i = 0; i < rows; ++i) {
    Vector* const out = reinterpret_cast<Vector*>(y + i * y_stride);
    out[0] = first ? sum[i][0] : out[0] + sum[i][0];
    out[1] = first ? sum[i][1] : out[1] + sum[i][1];
  }
}

// The same for a number of rows, at most Tile::rows, that is known at run time only.
template <class Tile, int rows = Tile::rows, class T, int a_row>
[[gnu::always_inline]] inline void multiply_rows(int64_t count, const Terms<T, a_row>& terms, T* y, int64_t y_stride,
                                                 bool first) {
  if constexpr (rows > 1) {
    if (count < rows) return multiply_rows<Tile, rows - 1>(count, terms, y, y_stride, first);
  }
  multiply_tile<Tile, rows>(terms, y, y_stride, first);
}

}  // namespace rstorch::kernels
