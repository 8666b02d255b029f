// What the files of the fake know of each other.
#pragma once

#include <cuda_runtime_api.h>

namespace fake_cuda {

cudaError_t remember(cudaError_t code);  // for cudaGetLastError

// True if this thread captures a stream, which is spoiled by what was called.
bool refused_by_capture();
// True if what is submitted now is done later, if at all.
bool is_late(cudaStream_t stream);
void finish_all();

}  // namespace fake_cuda
