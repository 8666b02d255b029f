// Memory, and what there is.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <vector>

#include <cuda_runtime_api.h>

#include "memory.h"

namespace {

using namespace fake_cuda;

constexpr size_t kMemory = size_t(1) << 30;

// Blocks of a kind by their addresses.
class Blocks {
 public:
  void* add(size_t bytes, size_t most) {
    const std::lock_guard lock(mutex_);
    if (bytes > most - used_) return nullptr;
    void* const memory = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
    std::memset(memory, 0xff, bytes);  // nan: what reads it unwritten shows
    sizes_[memory] = bytes;
    used_ += bytes;
    return memory;
  }
  void remove(void* memory) {
    const std::lock_guard lock(mutex_);
    used_ -= sizes_.at(memory);
    sizes_.erase(memory);
    std::free(memory);
  }
  bool has(const void* memory) {
    const std::lock_guard lock(mutex_);
    const auto after = sizes_.upper_bound(const_cast<void*>(memory));
    if (after == sizes_.begin()) return false;
    const auto& [begin, size] = *std::prev(after);
    return memory < static_cast<const char*>(begin) + size;
  }
  size_t used() {
    const std::lock_guard lock(mutex_);
    return used_;
  }

 private:
  std::mutex mutex_;
  std::map<void*, size_t> sizes_;
  size_t used_ = 0;
};

Blocks device, pinned;
cudaError_t last_error = cudaSuccess;

bool is_ordinary(const void* memory) { return !device.has(memory) && !pinned.has(memory); }

}  // namespace

cudaError_t fake_cuda::remember(cudaError_t code) {
  if (code != cudaSuccess) last_error = code;
  return code;
}

const char* cudaGetErrorString(cudaError_t) { return "a fake error"; }
const char* cudaGetErrorName(cudaError_t) { return "cudaErrorFake"; }
cudaError_t cudaGetLastError() {
  const cudaError_t code = last_error;
  last_error = cudaSuccess;
  return code;
}
cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  *properties = {"Fake GPU", 9, 0, kMemory};
  return cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int) { return cudaSuccess; }
cudaError_t cudaMalloc(void** memory, size_t bytes) {
  if (refused_by_capture()) return remember(cudaErrorStreamCaptureUnsupported);
  *memory = device.add(bytes, kMemory);
  return *memory ? cudaSuccess : remember(cudaErrorMemoryAllocation);
}
cudaError_t cudaFree(void* memory) {
  if (refused_by_capture()) return remember(cudaErrorStreamCaptureUnsupported);
  finish_all();
  device.remove(memory);
  return cudaSuccess;
}
cudaError_t cudaHostAlloc(void** memory, size_t bytes, unsigned) {
  if (refused_by_capture()) return remember(cudaErrorStreamCaptureUnsupported);
  *memory = pinned.add(bytes, SIZE_MAX);
  return cudaSuccess;
}
cudaError_t cudaFreeHost(void* memory) {
  finish_all();
  pinned.remove(memory);
  return cudaSuccess;
}
cudaError_t cudaDeviceGetPCIBusId(char* text, int length, int device) {
  std::snprintf(text, size_t(length), "0000:%02x:00.0", device + 1);
  return cudaSuccess;
}
cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  *free = kMemory - device.used();
  *total = kMemory;
  return cudaSuccess;
}
// From ordinary memory is copied at once, to another place that the device then copies from; to ordinary memory the
// host waits.
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind, cudaStream_t stream) {
  const auto copy = [to, from, bytes] { std::memcpy(to, from, bytes); };
  if (!is_late(stream)) {
    copy();
    return cudaSuccess;
  }
  const bool from_ordinary = is_ordinary(from), to_ordinary = is_ordinary(to);
  if ((from_ordinary || to_ordinary) && refused_by_capture()) return remember(cudaErrorStreamCaptureUnsupported);
  if (to_ordinary) {
    cudaStreamSynchronize(stream);
    copy();
  } else if (from_ordinary) {
    const auto* const first = static_cast<const char*>(from);
    submit(stream, [to, kept = std::vector<char>(first, first + bytes)] { std::memcpy(to, kept.data(), kept.size()); });
  } else {
    submit(stream, copy);
  }
  return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void* memory, int value, size_t bytes, cudaStream_t stream) {
  submit(stream, [=] { std::memset(memory, value, bytes); });
  return cudaSuccess;
}
