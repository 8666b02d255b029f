// The devices of this process and the streams that work on them.
#pragma once

#include <memory>
#include <string>

#include "base/stream.h"

namespace rstorch {

// The calling thread's stream for a device: made on first use, the same one until the thread ends. Throws DeviceError where
// the device does not exist.
Stream& current_stream(Device device);

// The allocator that all streams of a device share. Outlives every tensor.
Allocator& allocator_of(Device device);

// What rstorch_cuda.so offers. Its one exported function, `rstorch_cuda_module`, fills the kernels' CUDA pointers and returns
// this table.
struct CudaModule {
  const char* version;                  // must equal the program's
  int (*device_count)(std::string& why_none);
  std::unique_ptr<Stream> (*make_stream)(int device);
  Allocator* (*allocator)(int device);
  std::string (*describe)(int device);  // "NVIDIA H100 80GB HBM3, sm_90, 79 GiB"
};

namespace cuda {

// True if the module, a driver and a device are there. Opens the module on the first call, once.
bool is_available();
int device_count();
// One line that names the missing piece; empty where CUDA is available.
const std::string& why_unavailable();
std::string describe(int device);

}  // namespace cuda
}  // namespace rstorch
