// Packing: a matrix laid out anew, so that the tiles of a product read it in one stream. Functions for use inside
// vectorised().
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "kernels/cpu/gemm.h"
#include "kernels/cpu/parallel.h"

namespace rstorch::kernels {

// Elements of a buffer for a packed matrix. Packing may write a few beyond the last strip.
constexpr int64_t packed_size(int64_t rows, int64_t columns, int64_t width) {
  return divide_up(rows, width) * width * columns + 16;
}

// to[c * to_stride + r] = from[r * from_stride + c] for an 8 x 8 block, in registers. Where there are fewer rows the
// last one stands in for the others.
template <class T>
[[gnu::always_inline]] inline void transpose_8x8(const T* from, int64_t from_stride, int rows, T* to,
                                                 int64_t to_stride) {
  static_assert(sizeof(T) == 4);
  typedef T Vector __attribute__((vector_size(32), aligned(4), may_alias));
  typedef int Index __attribute__((vector_size(32)));
  Vector row[8], pair[8], quad[8];
  for (int i = 0; i < 8; ++i) row[i] = *reinterpret_cast<const Vector*>(from + std::min(i, rows - 1) * from_stride);
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
  // In the order of the columns: where the stride is below 8, a row overwrites the end of the one before.
  for (int j = 0; j < 8; ++j) {
    const Index half = j < 4 ? Index{0, 1, 2, 3, 8, 9, 10, 11} : Index{4, 5, 6, 7, 12, 13, 14, 15};
    *reinterpret_cast<Vector*>(to + j * to_stride) = __builtin_shuffle(quad[j % 4], quad[j % 4 + 4], half);
  }
}

// to[c * width + r] = from[r * from_stride + c] for r < width, c < columns. May write up to 8 elements beyond the last.
template <int width, class T>
[[gnu::always_inline]] inline void transpose_strip(const T* from, int64_t from_stride, int64_t columns, T* to) {
  int64_t c = 0;
  if constexpr (sizeof(T) == sizeof(float)) {
    // Blocks of 8 rows; the last one starts early enough to end with the strip, or, in a lower strip, reads its last
    // row again and writes what the next column overwrites.
    for (; c + 8 <= columns; c += 8) {
      for (int r = 0; r < width; r += 8) {
        const int first = width < 8 ? 0 : std::min(r, width - 8);
        transpose_8x8(from + first * from_stride + c, from_stride, std::min(width, 8), to + c * width + first, width);
      }
    }
  }
  for (; c < columns; ++c) {
    for (int r = 0; r < width; ++r) to[c * width + r] = from[r * from_stride + c];
  }
}

// A strip, `width` rows of a matrix, as [k][width]; zero for rows that the matrix has no more.
template <int width, class T>
[[gnu::always_inline]] inline void pack_strip(const Matrix<const T>& strip, T* to) {
  if (strip.rows == width && strip.column_stride == 1) {
    return transpose_strip<width>(strip.data, strip.row_stride, strip.columns, to);
  }
  if (strip.rows == width && strip.row_stride == 1) {
    for (int64_t k = 0; k < strip.columns; ++k) std::memcpy(to + k * width, strip.at(0, k), width * sizeof(T));
    return;
  }
  if (strip.rows < width) std::memset(to, 0, size_t(strip.columns * width) * sizeof(T));
  for (int64_t k = 0; k < strip.columns; ++k) {
    for (int64_t i = 0; i < strip.rows; ++i) to[k * width + i] = *strip.at(i, k);
  }
}

// A matrix as strips, one after the other. Where its columns are contiguous, several strips are filled together, so
// that memory is read in longer runs.
template <int width, class T>
[[gnu::always_inline]] inline void pack(const Matrix<const T>& m, T* to) {
  constexpr int64_t together = 4;
  const int64_t size = width * m.columns;
  int64_t row = 0;
  for (; m.row_stride == 1 && row + together * width <= m.rows; row += together * width, to += together * size) {
    for (int64_t k = 0; k < m.columns; ++k) {
      for (int64_t i = 0; i < together; ++i)
        std::memcpy(to + i * size + k * width, m.at(row + i * width, k), width * sizeof(T));
    }
  }
  for (; row < m.rows; row += width, to += size) {
    pack_strip<width>(
        Matrix<const T>{m.at(row, 0), std::min<int64_t>(width, m.rows - row), m.columns, m.row_stride, m.column_stride},
        to);
  }
}

}  // namespace rstorch::kernels
