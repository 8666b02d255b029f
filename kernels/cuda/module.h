// What rstorch_cuda.so offers: the one thing that the program and the module know of each other, beside the kernels.
//
// The module's only exported function, rstorch_cuda_module(), returns this table. It opens without a driver and without
// a device; device_count() tells. Contains no CUDA header.
#pragma once

#include <memory>
#include <string>

#include "base/nccl_api.h"
#include "base/stream.h"

namespace rstorch {

struct CudaModule {
  const char* version;  // must equal the program's before anything else here is used
  // Fills the `cuda` pointers of the program's kernels.
  void (*install)();
  // How many devices there are; for none, `why_none` is one line that names the missing piece.
  int (*device_count)(std::string& why_none);
  // A queue to the device for one thread. All queues of a device feed one CUDA stream, so work is done in the order in
  // which it was queued, whatever the thread. Their one allocator hands released memory out again at once: safe,
  // because the device works in one order. It is never destroyed.
  std::unique_ptr<Stream> (*make_stream)(int device);
  std::string (*describe)(int device);  // "NVIDIA H100 80GB HBM3, sm_90, 79 GiB"
  std::string (*bus_id)(int device);    // "0000:3b:00.0": which GPU of the machine it is, for any process
  // Host memory that the device copies to and from without a detour. A block given back may still be copied from by
  // work that is queued: synchronize before the host writes to what was allocated. Never destroyed.
  Allocator& (*pinned_memory)(int device);
  // A queue that works beside the others, for copies: what it shares memory with waits for its marks. It must not take
  // memory of the device, which is handed out in the order of the others' work.
  std::unique_ptr<CudaStream> (*make_copy_stream)(int device);
  // Opens NCCL when it is first asked for. Null where it cannot be used; `why_none` then names what is missing.
  const NcclApi* (*nccl)(std::string& why_none);
};

}  // namespace rstorch
