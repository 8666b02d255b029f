// Products of operands that lie in strips, as pack() lays them out. For use inside vectorised().
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/cpu/gemm.h"
#include "kernels/cpu/tile.h"

namespace rstorch::kernels {

// The left operand: element (i, k) is at data[i * a_row + k * step], counted anew every Tile::rows rows, when a strip
// begins: that of row r is at r * strip.
template <class T, int a_row = 1>
struct Left {
  const T* data;
  int64_t strip, step;
};

// The right operand: element (k, j) is at data[k * Tile::columns + j], the strip of column c at c * strip.
template <class T>
struct Right {
  const T* data;
  int64_t strip;
};

// y += x, or y = x if `first`, for a tile that reaches over the last column of y.
template <class T>
[[gnu::always_inline]] inline void add_edge(const T* x, int64_t x_stride, const Matrix<T>& y, bool first) {
  for (int64_t i = 0; i < y.rows; ++i) {
    for (int64_t j = 0; j < y.columns; ++j) *y.at(i, j) = x[i * x_stride + j] + (first ? T(0) : *y.at(i, j));
  }
}

// y = a b, or y += a b unless `first`; sums over `depth` elements.
template <class Tile, class T, int a_row>
[[gnu::always_inline]] inline void multiply_strips(const Left<T, a_row>& a, const Right<T>& b, int64_t depth,
                                                   const Matrix<T>& y, bool first) {
  alignas(64) T edge[Tile::rows * Tile::columns];
  for (int64_t column = 0; column < y.columns; column += Tile::columns) {
    const int64_t width = std::min<int64_t>(Tile::columns, y.columns - column);
    for (int64_t row = 0; row < y.rows; row += Tile::rows) {
      const int64_t height = std::min<int64_t>(Tile::rows, y.rows - row);
      const Terms<T, a_row> terms{a.data + row * a.strip, a.step, b.data + column * b.strip, Tile::columns, depth};
      if (width == Tile::columns) {
        multiply_rows<Tile>(height, terms, y.at(row, column), y.row_stride, first);
      } else {
        multiply_rows<Tile>(height, terms, edge, Tile::columns, true);
        add_edge<T>(edge, Tile::columns, y.part(row, row + height, column, y.columns), first);
      }
    }
  }
}

}  // namespace rstorch::kernels
