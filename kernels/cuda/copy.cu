#include <optional>

#include "kernels/copy.h"
#include "kernels/cuda/install.h"
#include "kernels/cuda/map.cuh"

namespace rstorch::kernels {
namespace {

struct Same {
  template <class T>
  __device__ T operator()(T x) const {
    return x;
  }
};

constexpr uint32_t kTile = 32;

// The dimensions of a walk in which neighbours in y (operand 0) and in x (operand 1) lie.
struct Transposition {
  size_t y_dim, x_dim;
};

// None where they are the same one, or too short for tiles.
std::optional<Transposition> find_transposition(const Walk<2>& walk) {
  const auto dims = size_t(walk.dims);
  const auto unit_dim = [&](size_t operand) {
    const auto& strides = walk.strides[operand];
    return size_t(std::find(strides.begin(), strides.begin() + dims, 1) - strides.begin());
  };
  const Transposition found = {unit_dim(0), unit_dim(1)};
  if (found.y_dim == dims || found.x_dim == dims || walk.strides[1][found.y_dim] <= 1) return {};
  if (std::min(walk.sizes[found.y_dim], walk.sizes[found.x_dim]) < kTile / 2) return {};
  return found;
}

// Planes of y_size times x_size elements, and how they are cut into tiles.
struct Tiles {
  Layout<2> planes;
  uint32_t y_size, x_size;
  uint32_t y_step, x_step;  // between the rows of a plane: along x_dim in y, along y_dim in x
  Divider in_row, in_plane;

  Tiles(const Walk<2>& walk, const Transposition& t)
      : planes(without(walk, t)),
        y_size(uint32_t(walk.sizes[t.y_dim])),
        x_size(uint32_t(walk.sizes[t.x_dim])),
        y_step(uint32_t(walk.strides[0][t.x_dim])),
        x_step(uint32_t(walk.strides[1][t.y_dim])),
        in_row(count(x_size)),
        in_plane(count(x_size) * count(y_size)) {}

  uint32_t blocks() const { return planes.count() * in_plane.divisor(); }

 private:
  static uint32_t count(uint32_t size) { return (size + kTile - 1) / kTile; }
  static Walk<2> without(const Walk<2>& walk, const Transposition& t) {
    Walk<2> rest;
    for (size_t i = 0; i < size_t(walk.dims); ++i) {
      if (i == t.y_dim || i == t.x_dim) continue;
      const auto at = size_t(rest.dims++);
      rest.sizes[at] = walk.sizes[i];
      for (size_t k = 0; k < 2; ++k) rest.strides[k][at] = walk.strides[k][i];
    }
    return rest;
  }
};

// A block reads a tile in lines of x and writes it in lines of y.
template <class T>
__global__ void transpose(Tiles tiles, const T* x, T* y) {
  __shared__ T tile[kTile][kTile + 1];  // an odd length: neighbours in a column are in different banks
  constexpr uint32_t kRows = kBlock / kTile;
  const Divider::Result plane = tiles.in_plane.divide(blockIdx.x), at = tiles.in_row.divide(plane.remainder);
  const auto start = tiles.planes.offsets(plane.quotient);
  const uint32_t y_first = at.quotient * kTile, x_first = at.remainder * kTile;
  const uint32_t lane = threadIdx.x % kTile, first_row = threadIdx.x / kTile;
  for (uint32_t row = first_row; row < kTile; row += kRows) {
    const uint32_t i = y_first + row, j = x_first + lane;
    if (i < tiles.y_size && j < tiles.x_size) tile[row][lane] = x[start.of[1] + i * tiles.x_step + j];
  }
  __syncthreads();
  for (uint32_t row = first_row; row < kTile; row += kRows) {
    const uint32_t i = y_first + lane, j = x_first + row;
    if (i < tiles.y_size && j < tiles.x_size) y[start.of[0] + j * tiles.y_step + i] = tile[lane][row];
  }
}

void copy_transposed(CudaStream& stream, const ConstView& x, const View& y, const Walk<2>& walk,
                     const Transposition& transposition) {
  with_unit(size_of(x.dtype), [&]<class Unit>() {
    walk.for_each_small([&](const Walk<2>& part) {
      const Tiles tiles(part, transposition);
      launch_blocks(stream, "copy", tiles.blocks(), transpose<Unit>, tiles, x.as<Unit>() + part.start[1],
                    y.as<Unit>() + part.start[0]);
    });
  });
}

void copy_cuda(CudaStream& stream, ConstView x, View y) {
  if (x.dtype == y.dtype && x.contiguous() && y.contiguous()) {
    const size_t bytes = size_t(x.numel()) * size_of(x.dtype);
    const auto queue = static_cast<cudaStream_t>(stream.handle());
    if (bytes > 0) check(cudaMemcpyAsync(y.data, x.data, bytes, cudaMemcpyDeviceToDevice, queue), "cudaMemcpyAsync");
    return;
  }
  if (x.dtype == y.dtype) {
    const auto walk = make_walk<2>(y.shape, {y.strides, x.strides});
    if (const auto found = find_transposition(walk)) return copy_transposed(stream, x, y, walk, *found);
  }
  dispatch(AllTypes{}, x.dtype, "copy", [&]<class X>(Type<X>) {
    dispatch(AllTypes{}, y.dtype, "copy", [&]<class Y>(Type<Y>) { map<Y, X>(stream, "copy", Same{}, y, {x}); });
  });
}

void fill_cuda(CudaStream& stream, View y, Scalar value) {
  dispatch(AllTypes{}, y.dtype, "fill", [&]<class Y>(Type<Y>) { map<Y, Y>(stream, "fill", Same{}, y, {value}); });
}

}  // namespace

void install_copy() {
  copy.cuda = copy_cuda;
  fill.cuda = fill_cuda;
}

}  // namespace rstorch::kernels
