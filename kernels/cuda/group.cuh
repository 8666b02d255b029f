// Threads of a block that work on one row together, and combine their values.
#pragma once

#include "base/error.h"
#include "kernels/cuda/launch.cuh"

namespace rstorch::kernels {

// `Lanes` neighbouring threads, a power of two up to kBlock. A block has kBlock / Lanes groups; all of its threads call
// what is here, also those without a row.
template <unsigned Lanes>
class Group {
  static_assert(Lanes >= 1 && Lanes <= kBlock && (Lanes & (Lanes - 1)) == 0);

 public:
  static constexpr unsigned kGroups = kBlock / Lanes;  // in a block

  __device__ unsigned lane() const { return threadIdx.x % Lanes; }
  // Number of the group in the grid: the row it works on.
  __device__ int64_t row() const { return int64_t(blockIdx.x) * kGroups + threadIdx.x / Lanes; }

  // All values of the group, merged in a fixed order; every lane gets the same bits. T is 4 or 8 bytes; merge(a, b) is
  // commutative.
  template <class T, class F>
  __device__ T merge(T value, const F& merge) const {
    constexpr unsigned kAll = 0xffffffff, kStep = Lanes < kWarp ? Lanes : kWarp;
    for (unsigned step = kStep / 2; step > 0; step /= 2) value = merge(value, __shfl_xor_sync(kAll, value, int(step)));
    if constexpr (Lanes > kWarp) {
      constexpr unsigned kWarps = Lanes / kWarp;
      __shared__ T shared[kBlock / kWarp];
      __syncthreads();  // the last call's values have been read
      if (threadIdx.x % kWarp == 0) shared[threadIdx.x / kWarp] = value;
      __syncthreads();
      const unsigned first = threadIdx.x / Lanes * kWarps;
      value = shared[first];
      for (unsigned i = 1; i < kWarps; ++i) value = merge(value, shared[first + i]);
    }
    return value;
  }
  template <class T>
  __device__ T sum(T value) const {
    return merge(value, [](T a, T b) { return a + b; });
  }
};

// Calls f.operator()<Lanes>() with as many threads as rows of `columns` elements keep busy.
template <class F>
void with_group(int64_t columns, const F& f) {
  if (columns <= 32) return f.template operator()<4>();
  if (columns <= 1024) return f.template operator()<kWarp>();
  f.template operator()<kBlock>();
}
// Blocks for so many rows. Throws ShapeError for more than a grid holds.
template <unsigned Lanes>
dim3 blocks_of_rows(std::string_view name, int64_t rows) {
  const int64_t blocks = (rows + Group<Lanes>::kGroups - 1) / Group<Lanes>::kGroups;
  if (blocks > INT32_MAX) throw ShapeError(format("{}: {} rows are too many for cuda", name, rows));
  return {unsigned(blocks)};
}

}  // namespace rstorch::kernels
