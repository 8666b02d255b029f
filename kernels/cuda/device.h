// What all streams of one CUDA device share.
#pragma once

#include <memory>
#include <string>

#include <cuda_runtime_api.h>

#include "base/stream.h"

namespace rstorch::kernels {

int cuda_device_count(std::string& why_none);
std::string describe_cuda_device(int device);
std::string cuda_bus_id(int device);
Allocator& cuda_pinned_memory(int device);
std::unique_ptr<Stream> make_cuda_stream(int device);

}  // namespace rstorch::kernels
