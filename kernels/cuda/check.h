// Codes of CUDA calls, as errors that name the call, the code and its text. No state: a code that was thrown is not
// seen again by the next call, unless the device itself is lost.
#pragma once

#include <string_view>

#include <cuda_runtime_api.h>

namespace rstorch::kernels {

// Throws DeviceError; OutOfMemoryError where memory is what is missing.
[[noreturn]] void fail(cudaError_t code, std::string_view call);
inline void check(cudaError_t code, std::string_view call) {
  if (code != cudaSuccess) fail(code, call);
}

}  // namespace rstorch::kernels
