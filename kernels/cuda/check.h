// Codes of CUDA and cuBLAS calls, as errors that name the call, the code and its text. No state: a code that was thrown
// is not seen again by the next call, unless the device itself is lost.
#pragma once

#include <string_view>

#include <cublas_v2.h>
#include <cuda_runtime_api.h>

namespace rstorch::kernels {

// Throws DeviceError; OutOfMemoryError where memory is what is missing.
[[noreturn]] void fail(cudaError_t code, std::string_view call);
[[noreturn]] void fail(cublasStatus_t code, std::string_view call);

template <class Code>
void check(Code code, std::string_view call) {
  if (code != Code{}) fail(code, call);
}

}  // namespace rstorch::kernels
