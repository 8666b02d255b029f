// A block's tile of attention scores, and its products: what attention's kernels stand on.
//
// A tile is kRows x kColumns scores, spread over the block's threads: each has the scores of kOwnRows rows and some
// columns. The rows' matrix is held while tiles of the columns' matrix come one after the other. All threads call every
// function. PlainTiles takes every type and size; TensorTiles (attention_mma.cuh) halves of some sizes.
#pragma once

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/pack.cuh"
#include "kernels/element.h"
#include "kernels/math.h"

namespace rstorch::kernels {

// Some neighbouring lines of a matrix, `size` neighbours each.
template <class T>
struct Lines {
  const T* data;
  int64_t stride;
  int64_t count;
  int64_t size;

  __device__ Compute<T> at(int64_t line, int64_t i) const {
    return line < count && i < size ? convert<Compute<T>>(data[line * stride + i]) : Compute<T>(0);
  }
};

// Multiply-adds of Compute<T>, from shared memory in f32 or f64.
template <class T>
class PlainTiles {
 public:
  using C = Compute<T>;
  static constexpr int kRows = 64, kColumns = 32;
  static constexpr int kWidth = 64;            // columns of an output
  static constexpr unsigned kLanesOfRow = 16;  // neighbouring threads that share their rows
  static constexpr int kOwnRows = 4, kOwnColumns = 2, kOwnWidth = 4;
  static constexpr int kDepth = 16;  // features in shared memory at a time

  using Scores = C[kOwnRows][kOwnColumns];
  using Output = C[kOwnRows][kOwnWidth];
  using Held = Lines<T>;
  using Tile = Lines<T>;
  struct Brought {
    Tile a, b;
  };

  struct alignas(32) Shared {
    C rows[kDepth][kRows + 4];  // transposed
    C columns[kDepth][kColumns + 4];
    C scores[kColumns][kRows + 4];
    C lines[kColumns][kWidth + 4];
  };

  __device__ explicit PlainTiles(Shared& shared) : shared_(shared) {}

  // Places in the tile of the thread's values.
  __device__ static int row(int r) { return int(threadIdx.x / kLanesOfRow) * kOwnRows + r; }
  __device__ static int column(int c) { return int(threadIdx.x % kLanesOfRow) * kOwnColumns + c; }
  __device__ static int output_column(int c) { return int(threadIdx.x % kLanesOfRow) * kOwnWidth + c; }

  __device__ Held hold(const Lines<T>& rows) const { return rows; }
  // The first tiles of two matrices; then, again and again, the current ones, with the next to be prepared. `a` has no
  // lines where there is none.
  __device__ void start(const Lines<T>& a, const Lines<T>& b) { coming_ = {a, b}; }
  __device__ Brought next(const Lines<T>& a, const Lines<T>& b) {
    const Brought now = coming_;
    coming_ = {a, b};
    return now;
  }
  __device__ static C exp(C x) { return math::exp(x); }

  // scores = rows columns^T
  __device__ void multiply(Scores& scores, const Held& rows, const Tile& columns) {
    for (int r = 0; r < kOwnRows; ++r)
      for (int c = 0; c < kOwnColumns; ++c) scores[r][c] = 0;
    for (int64_t first = 0; first < rows.size; first += kDepth) {
      __syncthreads();  // the last values have been read
      const int i = int(threadIdx.x) % kDepth;
      for (int line = int(threadIdx.x) / kDepth; line < kRows; line += int(kBlock) / kDepth)
        shared_.rows[i][line] = rows.at(line, first + i);
      for (int line = int(threadIdx.x) / kDepth; line < kColumns; line += int(kBlock) / kDepth)
        shared_.columns[i][line] = columns.at(line, first + i);
      __syncthreads();
      for (int k = 0; k < kDepth; ++k) {
        const auto a = read_pack<kOwnRows>(&shared_.rows[k][row(0)]);
        const auto b = read_pack<kOwnColumns>(&shared_.columns[k][column(0)]);
        for (int r = 0; r < kOwnRows; ++r)
          for (int c = 0; c < kOwnColumns; ++c) scores[r][c] += a.values[r] * b.values[c];
      }
    }
  }
  // output += scores lines, for the columns of `lines` from `first` on.
  __device__ void accumulate(Output& output, const Scores& scores, const Tile& lines, int64_t first) {
    __syncthreads();
    for (int c = 0; c < kOwnColumns; ++c) {
      Pack<C, kOwnRows> pack;
      for (int r = 0; r < kOwnRows; ++r) pack.values[r] = scores[r][c];
      write_pack(&shared_.scores[column(c)][row(0)], pack);
    }
    const int i = int(threadIdx.x) % kWidth;
    for (int line = int(threadIdx.x) / kWidth; line < kColumns; line += int(kBlock) / kWidth)
      shared_.lines[line][i] = lines.at(line, first + i);
    __syncthreads();
    for (int k = 0; k < kColumns; ++k) {
      const auto a = read_pack<kOwnRows>(&shared_.scores[k][row(0)]);
      const auto b = read_pack<kOwnWidth>(&shared_.lines[k][output_column(0)]);
      for (int r = 0; r < kOwnRows; ++r)
        for (int c = 0; c < kOwnWidth; ++c) output[r][c] += a.values[r] * b.values[c];
    }
  }

 private:
  Shared& shared_;
  Brought coming_;
};

}  // namespace rstorch::kernels
