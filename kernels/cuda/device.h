// What all streams of one CUDA device share.
#pragma once

#include <memory>
#include <string>

#include <cuda_runtime_api.h>

#include "base/stream.h"
#include "kernels/index_error.h"

namespace rstorch::kernels {

// The first bad index that kernels of a device have found, since the last that was thrown. In memory of the host that
// the device writes to (kernels/cuda/device_errors.h); synchronize() of any stream of the device throws it.
struct DeviceErrors {
  unsigned taken;              // by the thread whose index this is
  volatile unsigned complete;  // all of it is written
  BadIndex bad;
  ArgumentError (*describe)(const BadIndex&);
};

int cuda_device_count(std::string& why_none);
std::string describe_cuda_device(int device);
std::string cuda_bus_id(int device);
Allocator& cuda_pinned_memory(int device);
DeviceErrors& device_errors(int device);
std::unique_ptr<Stream> make_cuda_stream(int device);
std::unique_ptr<CudaStream> make_cuda_copy_stream(int device);

}  // namespace rstorch::kernels
