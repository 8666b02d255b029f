// Starting a kernel on a stream.
#pragma once

#include <string_view>

#include "base/stream.h"
#include "kernels/cuda/check.h"

namespace rstorch::kernels {

inline constexpr unsigned kBlock = 256;  // threads of a block, for kernels that use no shared memory

// Runs kernel(args...) in at least `threads` threads, in blocks of kBlock. `name` is for errors.
template <class... Parameters, class... Args>
void launch(CudaStream& stream, std::string_view name, uint32_t threads, void (*kernel)(Parameters...),
            Args&&... args) {
  if (threads == 0) return;
  const auto queue = static_cast<cudaStream_t>(stream.handle());
  kernel<<<(threads + kBlock - 1) / kBlock, kBlock, 0, queue>>>(args...);
  check(cudaGetLastError(), name);
}

}  // namespace rstorch::kernels
