// In place of kernels/cuda/launch.cuh: threads that work alone one after the other, those of a block as fibers.
#pragma once

#include <string_view>
#include <tuple>

#include "base/stream.h"
#include "kernels/cuda/check.h"

namespace rstorch::kernels {

inline constexpr unsigned kBlock = fake_cuda::kBlockThreads;
inline constexpr unsigned kWarp = 32;

template <class... Parameters, class... Args>
void launch_blocks(CudaStream& stream, std::string_view, dim3 blocks, void (*kernel)(Parameters...), Args&&... args) {
  const std::tuple<Parameters...> values(args...);
  fake_cuda::submit(static_cast<cudaStream_t>(stream.handle()), [=] {
    gridDim = blocks;
    for (blockIdx.y = 0; blockIdx.y < blocks.y; ++blockIdx.y) {
      for (blockIdx.x = 0; blockIdx.x < blocks.x; ++blockIdx.x) {
        fake_cuda::run_block([&] { std::apply(kernel, values); });
      }
    }
  });
}

template <class... Parameters, class... Args>
void launch(CudaStream& stream, std::string_view, uint32_t threads, void (*kernel)(Parameters...), Args&&... args) {
  const std::tuple<Parameters...> values(args...);
  fake_cuda::submit(static_cast<cudaStream_t>(stream.handle()), [=] {
    for (blockIdx.x = 0; blockIdx.x * kBlock < threads; ++blockIdx.x) {
      for (threadIdx.x = 0; threadIdx.x < kBlock; ++threadIdx.x) std::apply(kernel, values);
    }
  });
}

}  // namespace rstorch::kernels
