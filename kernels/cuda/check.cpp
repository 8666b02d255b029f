#include "kernels/cuda/check.h"

#include "base/error.h"
#include "kernels/cuda/blas.h"
#include "kernels/cuda/dnn.h"

namespace rstorch::kernels {

void fail(cudaError_t code, std::string_view call) {
  cudaGetLastError();  // else the next call would report this one again
  const std::string message =
      format("{} failed: {} ({}, {})", call, cudaGetErrorString(code), cudaGetErrorName(code), int(code));
  switch (code) {
    case cudaErrorMemoryAllocation:
      throw OutOfMemoryError(message, "use a smaller batch_size or model");
    case cudaErrorNoKernelImageForDevice:
    case cudaErrorInvalidDeviceFunction:
      throw DeviceError(message, "rstorch_cuda.so was built for " RSTORCH_GPU_ARCH ": build it with -Dgpu_arch=sm_NN");
    default:
      throw DeviceError(message);
  }
}

void fail(cublasStatus_t code, std::string_view call) {
  const std::string message =
      format("{} failed: {} ({}, {})", call, cublasLtGetStatusString(code), cublasLtGetStatusName(code), int(code));
  if (code == CUBLAS_STATUS_ALLOC_FAILED) throw OutOfMemoryError(message, "use a smaller batch_size or model");
  throw DeviceError(message);
}

void fail(cudnnStatus_t code, std::string_view call) {
  throw DeviceError(format("{} failed: {} ({})", call, cudnnGetErrorString(code), int(code)));
}

}  // namespace rstorch::kernels
