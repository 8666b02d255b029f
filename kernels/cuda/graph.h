// CUDA graphs: work that a stream records instead of doing it.
#pragma once

#include <functional>
#include <memory>

#include <cuda_runtime_api.h>

#include "base/stream.h"

namespace rstorch::kernels {

// See CudaStream::capture().
std::unique_ptr<DeviceGraph> record(cudaStream_t queue, const std::function<void()>& work);

}  // namespace rstorch::kernels
