// The devices of this process and the streams that work on them.
#pragma once

#include <string>

#include "base/nccl_api.h"
#include "base/stream.h"

namespace rstorch {

// The calling thread's stream for a device: made on first use, the same one until the thread ends. All streams of a
// device begin with one allocator, which outlives every tensor. Throws DeviceError where the device does not exist.
Stream& current_stream(Device device);

namespace cuda {

// True if the module (kernels/cuda/module.h), a driver and a device are there. The first question about CUDA opens the
// module, once for the process; a program that asks none never does.
bool is_available();
int device_count();
// One line that names the missing piece; empty where CUDA is available.
const std::string& why_unavailable();
std::string describe(int device);
std::string bus_id(int device);  // "0000:3b:00.0": which GPU of the machine it is, for any process
// Host memory that the device copies to and from without a detour; see CudaModule.
Allocator& pinned_memory(int device);
// A queue for copies that go on while the device computes; see CudaModule.
std::unique_ptr<CudaStream> make_copy_stream(int device);
// Null where NCCL cannot be used; `why_none` then names what is missing.
const NcclApi* nccl(std::string& why_none);

}  // namespace cuda
}  // namespace rstorch
