#include "kernels/cpu/gemm.h"

#include <cstring>
#include <optional>
#include <utility>

#include "kernels/cpu/parallel.h"
#include "kernels/cpu/scratch.h"
#include "kernels/cpu/transpose.h"

namespace rstorch::kernels {
namespace {

// A tile of y is what stays in registers while k runs; it is two vectors wide.
template <class T, Isa isa>
struct Tile {
  static constexpr int bytes = isa == Isa::avx512 ? 64 : isa == Isa::avx2 ? 32 : 16;
  static constexpr int rows = isa == Isa::avx512 ? 12 : isa == Isa::avx2 ? 6 : 4;
  static constexpr int lanes = bytes / int(sizeof(T));
  static constexpr int columns = 2 * lanes;
  typedef T Vector __attribute__((vector_size(bytes), aligned(sizeof(T)), may_alias));
};

// A sliver of b, kDepth rows of one tile's columns, stays in the first-level cache; a few of them, and kBlockRows x
// kDepth of a, in the second.
constexpr int64_t kDepth = 384;
constexpr int64_t kBlockRows = 384;
constexpr int64_t kSlivers = 4;

// y = a b, or y += a b unless `first`, for `rows` rows of a, whose rows are contiguous; b is packed.
template <class Tile, int rows, class T>
[[gnu::always_inline]] inline void multiply_tile(const T* a, int64_t a_stride, const T* b, int64_t depth, T* y,
                                                 int64_t y_stride, bool first) {
  using Vector = typename Tile::Vector;
  Vector sum[rows][2];
  const T* row[rows];
#pragma GCC unroll 16
  for (int i = 0; i < rows; ++i) {
    sum[i][0] = sum[i][1] = Vector{};
    row[i] = a + i * a_stride;
    __builtin_prefetch(y + i * y_stride, 1);
  }
  for (int64_t k = 0; k < depth; ++k) {
    const Vector b0 = *reinterpret_cast<const Vector*>(b), b1 = *reinterpret_cast<const Vector*>(b + Tile::lanes);
    b += Tile::columns;
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i) {
      const T x = row[i][k];
      sum[i][0] += x * b0;
      sum[i][1] += x * b1;
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < rows; ++i) {
    Vector* const out = reinterpret_cast<Vector*>(y + i * y_stride);
    out[0] = first ? sum[i][0] : out[0] + sum[i][0];
    out[1] = first ? sum[i][1] : out[1] + sum[i][1];
  }
}

// The same where the number of rows is known at run time only.
template <class Tile, int rows, class T>
[[gnu::always_inline]] inline void multiply_rows(int count, const T* a, int64_t a_stride, const T* b, int64_t depth,
                                                 T* y, int64_t y_stride, bool first) {
  if constexpr (rows > 1) {
    if (count < rows) return multiply_rows<Tile, rows - 1>(count, a, a_stride, b, depth, y, y_stride, first);
  }
  multiply_tile<Tile, rows>(a, a_stride, b, depth, y, y_stride, first);
}

// b, of at most kSlivers tiles' columns, as [tile][k][Tile::columns], zero beyond the last column.
template <class Tile, class T>
[[gnu::always_inline]] inline void pack(const Matrix<const T>& b, T* out) {
  const int64_t whole = b.columns / Tile::columns, rest = b.columns % Tile::columns, sliver = b.rows * Tile::columns;
  if (rest > 0) std::memset(out + whole * sliver, 0, size_t(sliver) * sizeof(T));
  if (b.row_stride == 1 && b.column_stride != 1) {
    for (int64_t tile = 0; tile * Tile::columns < b.columns; ++tile) {
      transpose_copy(b.at(0, tile * Tile::columns), b.column_stride, tile < whole ? Tile::columns : rest, b.rows,
                     out + tile * sliver, int64_t(Tile::columns));
    }
    return;
  }
  for (int64_t k = 0; k < b.rows; ++k) {
    T* const to = out + k * Tile::columns;
    if (b.column_stride == 1) {
      for (int64_t tile = 0; tile < whole; ++tile) {
        std::memcpy(to + tile * sliver, b.at(k, tile * Tile::columns), Tile::columns * sizeof(T));
      }
      for (int64_t j = 0; j < rest; ++j) to[whole * sliver + j] = *b.at(k, whole * Tile::columns + j);
    } else {
      for (int64_t j = 0; j < b.columns; ++j) to[j / Tile::columns * sliver + j % Tile::columns] = *b.at(k, j);
    }
  }
}

// A whole product, to be worked on piece by piece. The rows of a are contiguous.
template <class T>
struct Product {
  Matrix<const T> a, b;
  Matrix<T> y;
  Epilogue<T> epilogue;
};

template <class T>
void clear(const Matrix<T>& y) {
  for (int64_t i = 0; i < y.rows; ++i) std::fill_n(y.at(i, 0), y.columns, T(0));
}

// y = activation(y + bias) for a part of y, `bias` belonging to its first column.
template <class T>
[[gnu::always_inline]] inline void finish(const Matrix<T>& y, const T* bias, Activation activation) {
  for (int64_t i = 0; i < y.rows; ++i) {
    T* const row = y.at(i, 0);
    if (bias) {
      for (int64_t j = 0; j < y.columns; ++j) row[j] += bias[j];
    }
    if (activation == Activation::relu) {
      for (int64_t j = 0; j < y.columns; ++j) row[j] = row[j] > T(0) ? row[j] : T(0);
    }
  }
}

// y = a b, or y += a b unless `first`, for one sliver of b.
template <class Tile, class T>
[[gnu::always_inline]] inline void multiply_sliver(const Matrix<const T>& a, const T* sliver, const Matrix<T>& y,
                                                   bool first) {
  for (int64_t row = 0; row < a.rows; row += Tile::rows) {
    const int height = int(std::min<int64_t>(Tile::rows, a.rows - row));
    if (y.columns == Tile::columns) {
      multiply_rows<Tile, Tile::rows>(height, a.at(row, 0), a.row_stride, sliver, a.columns, y.at(row, 0), y.row_stride,
                                      first);
      continue;
    }
    alignas(64) T edge[Tile::rows * Tile::columns];
    multiply_rows<Tile, Tile::rows>(height, a.at(row, 0), a.row_stride, sliver, a.columns, edge, int64_t(Tile::columns),
                                    true);
    for (int64_t i = 0; i < height; ++i) {
      for (int64_t j = 0; j < y.columns; ++j)
        *y.at(row + i, j) = edge[i * Tile::columns + j] + (first ? T(0) : *y.at(row + i, j));
    }
  }
}

// The part of y in rows [top, bottom) and the tiles [left, right).
template <class T, Isa isa>
[[gnu::always_inline]] inline void multiply_block(const Product<T>& product, int64_t top, int64_t bottom, int64_t left,
                                                  int64_t right) {
  using TileT = Tile<T, isa>;
  const auto& [a, b, y, epilogue] = product;
  const int64_t end = std::min<int64_t>(right * TileT::columns, y.columns), group = kSlivers * TileT::columns;
  // Even pieces of k, so that the last one is not a sliver of its own.
  const int64_t pieces = (a.columns + kDepth - 1) / kDepth,
                depth = (a.columns + pieces - 1) / std::max<int64_t>(pieces, 1);
  alignas(64) T packed[kSlivers * kDepth * TileT::columns];
  for (int64_t k = 0; k < a.columns; k += depth) {
    const int64_t step = std::min(depth, a.columns - k);
    const Matrix<const T> a_block{a.at(top, k), bottom - top, step, a.row_stride, 1};
    for (int64_t first = left * TileT::columns; first < end; first += group) {
      const int64_t last = std::min(end, first + group);
      pack<TileT>(Matrix<const T>{b.at(k, first), step, last - first, b.row_stride, b.column_stride}, packed);
      for (int64_t column = first; column < last; column += TileT::columns) {
        const int64_t width = std::min<int64_t>(TileT::columns, last - column);
        multiply_sliver<TileT>(a_block, packed + (column - first) * step,
                               Matrix<T>{y.at(top, column), bottom - top, width, y.row_stride, 1}, k == 0);
      }
    }
  }
  const int64_t column = left * TileT::columns;
  const Matrix<T> part{y.at(top, column), bottom - top, end - column, y.row_stride, 1};
  if (a.columns == 0) clear(part);
  finish(part, epilogue.bias ? epilogue.bias + column : nullptr, epilogue.activation);
}

template <class T, Isa isa>
void multiply(const Product<T>& product) {
  using TileT = Tile<T, isa>;
  const int64_t rows = product.y.rows, tiles = (product.y.columns + TileT::columns - 1) / TileT::columns;
  const int64_t strips = (rows + TileT::rows - 1) / TileT::rows;
  // More and lower blocks of rows where there are too few tiles for all threads.
  const int64_t wanted = std::max((rows + kBlockRows - 1) / kBlockRows, omp_get_max_threads() * 2 / tiles);
  const int64_t blocks = std::min(strips, std::max<int64_t>(wanted, 1));
  const auto top = [=](int64_t block) { return std::min(rows, strips * block / blocks * TileT::rows); };
  const auto run = [&, tiles](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end;) {
      const int64_t block = task / tiles, next = std::min(end, (block + 1) * tiles);
      run_as<isa>([&product, from = top(block), to = top(block + 1), left = task % tiles,
                   right = next - block * tiles] { multiply_block<T, isa>(product, from, to, left, right); });
      task = next;
    }
  };
  parallel_tasks(blocks * tiles, rows * product.y.columns * product.a.columns / (8 * blocks * tiles), run);
}

// Rows of a as the tiles want them: contiguous, and not all in the same sets of the cache.
template <class T>
bool readable_in_place(const Matrix<const T>& a) {
  return a.column_stride == 1 && (size_t(a.row_stride) * sizeof(T)) % 1024 != 0;
}

template <class T>
Matrix<const T> copy_rows(const Matrix<const T>& a, T* to, int64_t stride) {
  parallel_for(a.rows, kGrain / std::max<int64_t>(a.columns, 1), [=](int64_t begin, int64_t end) {
    vectorised([=] {
      if (a.row_stride == 1 && a.column_stride != 1) {
        return transpose_copy(a.at(begin, 0), a.column_stride, a.columns, end - begin, to + begin * stride, stride);
      }
      for (int64_t i = begin; i < end; ++i) {
        for (int64_t k = 0; k < a.columns; ++k) to[i * stride + k] = *a.at(i, k);
      }
    });
  });
  return {to, a.rows, a.columns, stride, 1};
}

}  // namespace

template <class T>
void gemm(const CpuStream& stream, Matrix<const T> a, Matrix<const T> b, Matrix<T> y, const Epilogue<T>& epilogue) {
  if (y.rows == 0 || y.columns == 0) return;
  std::optional<Scratch<T>> copy;
  if (!readable_in_place(a)) {
    const int64_t stride = (a.columns + 31) / 32 * 32 + 16;
    copy.emplace(stream, a.rows * stride);
    a = copy_rows(a, copy->data(), stride);
  }
  const Product<T> product{a, b, y, epilogue};
  switch (machine_isa()) {
    case Isa::avx512:
      return multiply<T, Isa::avx512>(product);
    case Isa::avx2:
      return multiply<T, Isa::avx2>(product);
    case Isa::baseline:
      return multiply<T, Isa::baseline>(product);
  }
}

template void gemm(const CpuStream&, Matrix<const float>, Matrix<const float>, Matrix<float>, const Epilogue<float>&);
template void gemm(const CpuStream&, Matrix<const double>, Matrix<const double>, Matrix<double>,
                   const Epilogue<double>&);

}  // namespace rstorch::kernels
