// In place of kernels/cuda/launch.cuh: the threads one after the other.
#pragma once

#include <string_view>

#include "base/stream.h"
#include "kernels/cuda/check.h"

namespace rstorch::kernels {

template <class... Parameters, class... Args>
void launch(CudaStream& stream, std::string_view, uint32_t threads, void (*kernel)(Parameters...), Args&&... args) {
  stream.handle();
  blockDim.x = 256;
  for (blockIdx.x = 0; blockIdx.x * blockDim.x < threads; ++blockIdx.x) {
    for (threadIdx.x = 0; threadIdx.x < blockDim.x; ++threadIdx.x) kernel(args...);
  }
}

}  // namespace rstorch::kernels
