// A CUDA runtime that is the CPU: what kernels/cuda calls of it, so that its kernels and its host code can be run and
// tested where there is no GPU. One device with 1 GiB of memory. The first stream does its work at once; others, and
// with RSTORCH_FAKE_CUDA_LATE in the environment all, put it off until somebody waits for it. A stream that captures
// keeps what it is given, as CUDA does.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>

inline constexpr int CUDART_VERSION = 13000;

enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorInsufficientDriver = 35,
  cudaErrorInvalidDeviceFunction = 98,
  cudaErrorNoKernelImageForDevice = 209,
  cudaErrorStreamCaptureUnsupported = 900,
  cudaErrorStreamCaptureInvalidated = 901,
};
enum cudaMemcpyKind { cudaMemcpyDeviceToDevice = 3, cudaMemcpyDefault = 4 };
enum cudaStreamCaptureMode { cudaStreamCaptureModeThreadLocal = 1 };
inline constexpr unsigned cudaStreamNonBlocking = 1;
inline constexpr unsigned cudaEventDisableTiming = 2;
inline constexpr unsigned cudaHostAllocPortable = 1;
using cudaStream_t = struct FakeStream*;
using cudaEvent_t = struct FakeEvent*;
using cudaGraph_t = struct FakeGraph*;
using cudaGraphExec_t = struct FakeGraphExec*;

struct cudaDeviceProp {
  char name[256];
  int major, minor;
  size_t totalGlobalMem;
};

const char* cudaGetErrorString(cudaError_t code);
const char* cudaGetErrorName(cudaError_t code);
cudaError_t cudaGetLastError();
cudaError_t cudaGetDeviceCount(int* count);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device);
cudaError_t cudaDriverGetVersion(int* version);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaMalloc(void** memory, size_t bytes);
cudaError_t cudaFree(void* memory);
cudaError_t cudaHostAlloc(void** memory, size_t bytes, unsigned flags);
cudaError_t cudaFreeHost(void* memory);
cudaError_t cudaDeviceGetPCIBusId(char* text, int length, int device);
cudaError_t cudaMemGetInfo(size_t* free, size_t* total);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode);
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph);
cudaError_t cudaGraphDestroy(cudaGraph_t graph);
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* ready, cudaGraph_t graph, unsigned long long flags);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph);
cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t stream);
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream);
cudaError_t cudaMemsetAsync(void* memory, int value, size_t bytes, cudaStream_t stream);

// What a kernel knows of its place.
struct dim3 {
  dim3(unsigned x = 1, unsigned y = 1) : x(x), y(y) {}
  unsigned x, y;
};
inline thread_local dim3 gridDim, blockIdx, threadIdx;

namespace fake_cuda {

inline constexpr unsigned kBlockThreads = 256, kWarpThreads = 32;
inline const dim3 kBlockSize{kBlockThreads};

// Work of a stream, which has to hold all that it needs.
void submit(cudaStream_t stream, std::function<void()> work);

// How many threads have come, and how often all had.
struct Barrier {
  unsigned arrived = 0, generation = 0;
};
// Runs body() in every thread of a block.
void run_block(const std::function<void()>& body);
void wait_for_block();
inline constexpr size_t kMostExchanged = 24;  // bytes
// Gives this thread's value to its warp; returns where that of `lane` is, those of other lanes kMostExchanged apart.
const void* exchange(const void* value, size_t bytes, unsigned lane);

template <class T>
T take(T value, unsigned lane) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8);
  return *static_cast<const T*>(exchange(&value, sizeof(T), lane));
}

}  // namespace fake_cuda

#define blockDim fake_cuda::kBlockSize
inline void __syncthreads() { fake_cuda::wait_for_block(); }
inline void __syncwarp() { fake_cuda::take(0, 0); }
template <class T>
T __shfl_xor_sync(unsigned, T value, int mask) {
  return fake_cuda::take(value, threadIdx.x ^ unsigned(mask));
}
template <class T>
T __shfl_sync(unsigned, T value, int lane) {
  return fake_cuda::take(value, unsigned(lane));
}
// The lanes of the warp that have this value too.
inline unsigned __match_any_sync(unsigned, unsigned value) {
  const auto* const values =
      static_cast<const unsigned char(*)[fake_cuda::kMostExchanged]>(fake_cuda::exchange(&value, sizeof value, 0));
  unsigned equal = 0;
  for (unsigned lane = 0; lane < fake_cuda::kWarpThreads; ++lane) {
    equal |= unsigned(__builtin_memcmp(values[lane], &value, sizeof value) == 0) << lane;
  }
  return equal;
}
inline int __popc(unsigned bits) { return __builtin_popcount(bits); }
inline unsigned atomicAdd(unsigned* at, unsigned value) { return __atomic_fetch_add(at, value, __ATOMIC_RELAXED); }
inline unsigned atomicCAS(unsigned* at, unsigned expected, unsigned value) {
  __atomic_compare_exchange_n(at, &expected, value, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
  return expected;
}
inline void __threadfence_system() {}
using std::max, std::min;

inline uint64_t __umul64hi(uint64_t a, uint64_t b) { return uint64_t((static_cast<unsigned __int128>(a) * b) >> 64); }
