// Starting a kernel on a stream.
#pragma once

#include <string_view>

#include "base/stream.h"
#include "kernels/cuda/check.h"

namespace rstorch::kernels {

inline constexpr unsigned kBlock = 256;  // threads of a block
inline constexpr unsigned kWarp = 32;

// Runs kernel(args...) in blocks.x times blocks.y blocks of kBlock threads, which may share memory and wait for each
// other. `name` is for errors.
template <class... Parameters, class... Args>
void launch_blocks(CudaStream& stream, std::string_view name, dim3 blocks, void (*kernel)(Parameters...),
                   Args&&... args) {
  if (blocks.x == 0 || blocks.y == 0) return;
  const auto queue = static_cast<cudaStream_t>(stream.handle());
  kernel<<<blocks, kBlock, 0, queue>>>(args...);
  check(cudaGetLastError(), name);
}

// Runs kernel(args...) in at least `threads` threads, each of which works alone.
template <class... Parameters, class... Args>
void launch(CudaStream& stream, std::string_view name, uint32_t threads, void (*kernel)(Parameters...),
            Args&&... args) {
  launch_blocks(stream, name, (threads + kBlock - 1) / kBlock, kernel, args...);
}

}  // namespace rstorch::kernels
