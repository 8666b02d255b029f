#include "kernels/cpu/gemm.h"

#include <algorithm>

#include "kernels/cpu/pack.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/scratch.h"
#include "kernels/cpu/strips.h"
#include "kernels/elementwise/unary_ops.h"

namespace rstorch::kernels {
namespace {

// Sizes of what is packed at a time. A sliver of b, kDepth rows of one tile's columns, stays in the first-level cache,
// kRows x kDepth of a in the second, kDepth x kColumns of b in the third.
constexpr int64_t kDepth = 352;
constexpr int64_t kRows = 192;
constexpr int64_t kColumns = 512;

// y holds the product.
template <class T>
[[gnu::always_inline]] inline void finish(const Matrix<T>& y, const Epilogue<T>& epilogue) {
  for (int64_t i = 0; i < y.rows; ++i) {
    T* const row = y.at(i, 0);
    if (epilogue.bias) {
      for (int64_t j = 0; j < y.columns; ++j) row[j] += epilogue.bias[j];
    }
    if (epilogue.z) std::copy_n(row, y.columns, epilogue.z + i * y.row_stride);
    switch (epilogue.activation) {
      case Activation::none:
        break;
      case Activation::relu:
        for (int64_t j = 0; j < y.columns; ++j) row[j] = Relu::value(row[j]);
        break;
      case Activation::gelu_tanh:
        for (int64_t j = 0; j < y.columns; ++j) row[j] = GeluTanh::value(row[j]);
        break;
    }
  }
}

// A whole product, or the part of it that one thread computes.
template <class T>
struct Product {
  Matrix<const T> a, b;
  Matrix<T> y;
  Epilogue<T> epilogue;

  Product part(int64_t top, int64_t bottom, int64_t left, int64_t right) const {
    return {a.part(top, bottom, 0, a.columns),
            b.part(0, b.rows, left, right),
            y.part(top, bottom, left, right),
            {epilogue.bias ? epilogue.bias + left : nullptr, epilogue.activation,
             epilogue.z ? epilogue.z + top * y.row_stride + left : nullptr}};
  }
};

// Buffers for packed pieces of a and b.
template <class T, Isa isa>
struct Packed {
  Scratch<T> a, b;
  Packed(const CpuStream& stream, const Product<T>& product)
      : a(stream, size(product.y.rows, kRows, Tile<T, isa>::rows)),
        b(stream, size(product.y.columns, kColumns, Tile<T, isa>::columns)) {}
  static int64_t size(int64_t rows, int64_t most, int64_t strip) {
    return packed_size(std::min(rows, most), kDepth, strip);
  }
};

template <class T, Isa isa>
[[gnu::always_inline]] inline void multiply_part(const Product<T>& product, T* packed_a, T* packed_b) {
  using TileT = Tile<T, isa>;
  const auto& [a, b, y, epilogue] = product;
  // Even pieces of k, so that the last one is not much smaller than the others.
  const int64_t pieces = std::max<int64_t>(divide_up(a.columns, kDepth), 1), depth = divide_up(a.columns, pieces);
  for (int64_t left = 0; left < y.columns; left += kColumns) {
    const int64_t right = std::min(y.columns, left + kColumns);
    for (int64_t piece = 0; piece < pieces; ++piece) {
      const int64_t begin = std::min(a.columns, piece * depth), end = std::min(a.columns, begin + depth);
      pack<TileT::columns>(b.part(begin, end, left, right).transposed(), packed_b);
      for (int64_t top = 0; top < y.rows; top += kRows) {
        const int64_t bottom = std::min(y.rows, top + kRows);
        pack<TileT::rows>(a.part(top, bottom, begin, end), packed_a);
        multiply_strips<TileT>(Left<T>{packed_a, end - begin, TileT::rows}, Right<T>{packed_b, end - begin},
                               end - begin, y.part(top, bottom, left, right), piece == 0);
      }
    }
  }
  finish(y, epilogue);
}

// Parts of y, rows x columns of them, one for each thread: as many columns as make wide enough parts, for a is packed
// anew in each.
struct Grid {
  int64_t rows = 1, columns = 1;
  Grid(int64_t strips, int64_t slivers, int64_t cost) {
    constexpr int64_t wide = 8, worth_a_thread = 1 << 17;
    const int64_t threads =
        omp_in_parallel() ? 1 : std::clamp<int64_t>(cost / worth_a_thread, 1, omp_get_max_threads());
    columns = std::clamp<int64_t>(slivers / wide, 1, threads);
    rows = std::min(strips, divide_up(threads, columns));
  }
};

template <class T, Isa isa>
void multiply(const CpuStream& stream, const Product<T>& product) {
  using TileT = Tile<T, isa>;
  const Matrix<T>& y = product.y;
  const int64_t strips = divide_up(y.rows, TileT::rows), slivers = divide_up(y.columns, TileT::columns);
  const Grid grid(strips, slivers, y.rows * y.columns * product.a.columns);
  const auto run = [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t i = task / grid.columns, j = task % grid.columns;
      const Product<T> part = product.part(strips * i / grid.rows * TileT::rows,
                                           std::min(y.rows, strips * (i + 1) / grid.rows * TileT::rows),
                                           slivers * j / grid.columns * TileT::columns,
                                           std::min(y.columns, slivers * (j + 1) / grid.columns * TileT::columns));
      const Packed<T, isa> packed(stream, part);
      run_as<isa>([&part, a = packed.a.data(), b = packed.b.data()] { multiply_part<T, isa>(part, a, b); });
    }
  };
  parallel_tasks(grid.rows * grid.columns, kGrain, run);
}

}  // namespace

template <class T>
void gemm(const CpuStream& stream, Matrix<const T> a, Matrix<const T> b, Matrix<T> y, const Epilogue<T>& epilogue) {
  if (y.rows == 0 || y.columns == 0) return;
  const Product<T> product{a, b, y, epilogue};
  specialised([&]<Isa isa> { multiply<T, isa>(stream, product); });
}

template void gemm(const CpuStream&, Matrix<const float>, Matrix<const float>, Matrix<float>, const Epilogue<float>&);
template void gemm(const CpuStream&, Matrix<const double>, Matrix<const double>, Matrix<double>,
                   const Epilogue<double>&);

}  // namespace rstorch::kernels
