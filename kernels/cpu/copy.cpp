#include "kernels/copy.h"

#include <cstring>
#include <optional>

#include "kernels/cpu/convert.h"
#include "kernels/cpu/map.h"
#include "kernels/cpu/pack.h"
#include "kernels/cpu/walk.h"

namespace rstorch::kernels {
namespace {

// Elements of any layout and dtype, block by block.
void copy_blocks(const Operand& x, const View& y) {
  const DType type = y.dtype;
  map_blocks(y, type, {&x, 1}, {&type, 1}, kGrain, [type](void* out, const void* const* in, int64_t n) {
    std::memcpy(out, in[0], size_t(n) * size_of(type));
  });
}

// A copy between layouts of which one is contiguous along the columns and the other along the rows.
struct Transposition {
  Box planes;  // all other dimensions
  Index x_strides{}, y_strides{};
  int64_t rows = 0, columns = 0;
  int64_t column_stride = 0;  // of x, whose rows have stride 1
  int64_t row_stride = 0;     // of y, whose columns have stride 1
};

std::optional<Transposition> transposition_of(const ConstView& x, const View& y) {
  constexpr int64_t worthwhile = 8;
  if (x.dtype != y.dtype || x.dims() < 2) return {};
  int row_dim = -1, column_dim = -1;
  for (int i = 0; i < x.dims(); ++i) {
    if (x.shape[i] < worthwhile) continue;
    if (x.strides[i] == 1) row_dim = i;
    if (y.strides[i] == 1) column_dim = i;
  }
  if (row_dim < 0 || column_dim < 0 || row_dim == column_dim) return {};
  Transposition t;
  for (int i = 0; i < x.dims(); ++i) {
    if (i == row_dim || i == column_dim) continue;
    t.x_strides[size_t(t.planes.dims)] = x.strides[i];
    t.y_strides[size_t(t.planes.dims)] = y.strides[i];
    t.planes.sizes[size_t(t.planes.dims++)] = x.shape[i];
  }
  if (t.planes.dims == 0) t.planes.sizes[size_t(t.planes.dims++)] = 1;
  t.rows = x.shape[row_dim];
  t.columns = x.shape[column_dim];
  t.column_stride = x.strides[column_dim];
  t.row_stride = y.strides[row_dim];
  return t;
}

// y[r * row_stride + c] = x[c * column_stride + r] for a tile that fits the first-level cache.
template <class T>
void transpose_tile(const T* x, int64_t column_stride, T* y, int64_t row_stride, int64_t rows, int64_t columns) {
  vectorised([=] {
    int64_t whole_rows = 0, whole_columns = 0;
    if constexpr (std::is_same_v<T, float>) {
      whole_rows = rows / 8 * 8;
      whole_columns = columns / 8 * 8;
      for (int64_t c = 0; c < whole_columns; c += 8) {
        for (int64_t r = 0; r < whole_rows; r += 8) {
          transpose_8x8(x + c * column_stride + r, column_stride, 8, y + r * row_stride + c, row_stride);
        }
      }
    }
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t c = r < whole_rows ? whole_columns : 0; c < columns; ++c) {
        y[r * row_stride + c] = x[c * column_stride + r];
      }
    }
  });
}

template <class T>
void transpose(const Transposition& t, const T* x, T* y) {
  constexpr int64_t tile = 32;
  const int64_t strips = divide_up(t.rows, tile);
  parallel_for(t.planes.numel() * strips, kGrain / (tile * t.columns), [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const Index plane = t.planes.at(task / strips);
      const int64_t r = task % strips * tile;
      const T* const from = x + t.planes.offset(plane, t.x_strides) + r;
      T* const to = y + t.planes.offset(plane, t.y_strides) + r * t.row_stride;
      for (int64_t c = 0; c < t.columns; c += tile) {
        transpose_tile(from + c * t.column_stride, t.column_stride, to + c, t.row_stride, std::min(tile, t.rows - r),
                       std::min(tile, t.columns - c));
      }
    }
  });
}

void copy_cpu(CpuStream&, ConstView x, View y) {
  const std::optional<Transposition> transposition = transposition_of(x, y);
  if (!transposition) return copy_blocks(x, y);
  switch (size_of(y.dtype)) {  // float stands for all elements of four bytes
    case 1:
      return transpose(*transposition, x.as<uint8_t>(), y.as<uint8_t>());
    case 2:
      return transpose(*transposition, x.as<uint16_t>(), y.as<uint16_t>());
    case 4:
      return transpose(*transposition, x.as<float>(), y.as<float>());
    case 8:
      return transpose(*transposition, x.as<uint64_t>(), y.as<uint64_t>());
  }
}

void fill_cpu(CpuStream&, View y, Scalar value) { copy_blocks(value, y); }

}  // namespace

Kernel<ConstView, View> copy{"copy", copy_cpu};
Kernel<View, Scalar> fill{"fill", fill_cpu};

}  // namespace rstorch::kernels
