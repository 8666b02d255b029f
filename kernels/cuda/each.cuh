// Many pieces of work that are alike: a thread for each.
#pragma once

#include <algorithm>

#include "base/error.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/walk.h"

namespace rstorch::kernels {
namespace detail {

template <class F>
__global__ void each(F f, Divider size, int64_t first, uint32_t threads) {
  const uint32_t thread = blockIdx.x * blockDim.x + threadIdx.x;
  if (thread >= threads) return;
  const Divider::Result at = size.divide(thread);
  f(first + at.quotient, at.remainder);
}

}  // namespace detail

// Calls f(row, i), i below `size`, in a thread of its own for every i of every row; neighbouring threads have
// neighbouring i. Throws ShapeError for rows too long for a launch.
template <class F>
void for_each(CudaStream& stream, std::string_view name, int64_t rows, int64_t size, const F& f) {
  constexpr int64_t kMost = int64_t(1) << 30;  // threads of a launch
  if (size > kMost) throw ShapeError(format("{}: rows of {} parts are too long for cuda", name, size));
  if (size == 0) return;
  for (int64_t first = 0; first < rows; first += kMost / size) {
    const auto threads = uint32_t(std::min(kMost / size, rows - first) * size);
    launch(stream, name, threads, detail::each<F>, f, Divider(uint32_t(size)), first, threads);
  }
}

}  // namespace rstorch::kernels
