// Transposing copies: what packing for matrix products needs.
#pragma once

#include <cstdint>

#include "kernels/cpu/simd.h"

namespace rstorch::kernels {

// to[c * to_stride + r] = from[r * from_stride + c] for an 8 x 8 block, in registers.
[[gnu::always_inline]] inline void transpose_8x8(const float* from, int64_t from_stride, float* to, int64_t to_stride) {
  typedef float Vector __attribute__((vector_size(32), aligned(4), may_alias));
  typedef int Index __attribute__((vector_size(32)));
  Vector row[8], pair[8], quad[8];
  for (int i = 0; i < 8; ++i) row[i] = *reinterpret_cast<const Vector*>(from + i * from_stride);
  for (int i = 0; i < 8; i += 2) {
    pair[i] = __builtin_shuffle(row[i], row[i + 1], Index{0, 8, 1, 9, 4, 12, 5, 13});
    pair[i + 1] = __builtin_shuffle(row[i], row[i + 1], Index{2, 10, 3, 11, 6, 14, 7, 15});
  }
  for (int i = 0; i < 8; i += 4) {
    for (int j = 0; j < 2; ++j) {
      quad[i + 2 * j] = __builtin_shuffle(pair[i + j], pair[i + j + 2], Index{0, 1, 8, 9, 4, 5, 12, 13});
      quad[i + 2 * j + 1] = __builtin_shuffle(pair[i + j], pair[i + j + 2], Index{2, 3, 10, 11, 6, 7, 14, 15});
    }
  }
  for (int j = 0; j < 4; ++j) {
    *reinterpret_cast<Vector*>(to + j * to_stride) =
        __builtin_shuffle(quad[j], quad[j + 4], Index{0, 1, 2, 3, 8, 9, 10, 11});
    *reinterpret_cast<Vector*>(to + (j + 4) * to_stride) =
        __builtin_shuffle(quad[j], quad[j + 4], Index{4, 5, 6, 7, 12, 13, 14, 15});
  }
}

// to[c * to_stride + r] = from[r * from_stride + c] for r < rows, c < columns. Call it inside vectorised().
template <class T>
[[gnu::always_inline]] inline void transpose_copy(const T* from, int64_t from_stride, int64_t rows, int64_t columns,
                                                  T* to, int64_t to_stride) {
  int64_t r = 0;
  if constexpr (sizeof(T) == sizeof(float)) {
    for (; r + 8 <= rows; r += 8) {
      int64_t c = 0;
      for (; c + 8 <= columns; c += 8)
        transpose_8x8(from + r * from_stride + c, from_stride, to + c * to_stride + r, to_stride);
      for (; c < columns; ++c) {
        for (int64_t i = r; i < r + 8; ++i) to[c * to_stride + i] = from[i * from_stride + c];
      }
    }
  }
  for (; r < rows; ++r) {
    for (int64_t c = 0; c < columns; ++c) to[c * to_stride + r] = from[r * from_stride + c];
  }
}

}  // namespace rstorch::kernels
