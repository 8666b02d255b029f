#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>

#include <cublas_v2.h>
#include <cuda_runtime_api.h>

#include "base/half.h"

namespace {

constexpr size_t kMemory = size_t(1) << 30;

std::map<void*, size_t> blocks;
size_t used = 0;
cudaError_t last_error = cudaSuccess;

cudaError_t remember(cudaError_t code) {
  if (code != cudaSuccess) last_error = code;
  return code;
}

}  // namespace

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
  if (bytes > kMemory - used) return remember(cudaErrorMemoryAllocation);
  *memory = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
  std::memset(*memory, 0xff, bytes);  // nan: what reads it unwritten shows
  blocks[*memory] = bytes;
  used += bytes;
  return cudaSuccess;
}
cudaError_t cudaFree(void* memory) {
  used -= blocks.at(memory);
  blocks.erase(memory);
  std::free(memory);
  return cudaSuccess;
}
cudaError_t cudaHostAlloc(void** memory, size_t bytes, unsigned) {
  *memory = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
  std::memset(*memory, 0xff, bytes);
  return cudaSuccess;
}
cudaError_t cudaFreeHost(void* memory) {
  std::free(memory);
  return cudaSuccess;
}
cudaError_t cudaDeviceGetPCIBusId(char* text, int length, int device) {
  std::snprintf(text, size_t(length), "0000:%02x:00.0", device + 1);
  return cudaSuccess;
}
cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  *free = kMemory - used;
  *total = kMemory;
  return cudaSuccess;
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  *stream = nullptr;
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t) { return cudaSuccess; }
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind, cudaStream_t) {
  std::memcpy(to, from, bytes);
  return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void* memory, int value, size_t bytes, cudaStream_t) {
  std::memset(memory, value, bytes);
  return cudaSuccess;
}

const char* cublasGetStatusString(cublasStatus_t) { return "a fake status"; }
const char* cublasGetStatusName(cublasStatus_t) { return "CUBLAS_STATUS_FAKE"; }
cublasStatus_t cublasCreate(cublasHandle_t* handle) {
  *handle = reinterpret_cast<cublasHandle_t>(std::malloc(1));
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasDestroy(cublasHandle_t handle) {
  std::free(handle);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasSetStream(cublasHandle_t, cudaStream_t) { return CUBLAS_STATUS_SUCCESS; }
cublasStatus_t cublasSetWorkspace(cublasHandle_t, void*, size_t) { return CUBLAS_STATUS_SUCCESS; }
cublasStatus_t cublasSetAtomicsMode(cublasHandle_t, cublasAtomicsMode_t) { return CUBLAS_STATUS_SUCCESS; }
cublasStatus_t cublasSetMathMode(cublasHandle_t, cublasMath_t) { return CUBLAS_STATUS_SUCCESS; }

namespace {

struct Product {
  cublasOperation_t op_a, op_b;
  int64_t m, n, k, lda, ldb, ldc;
};

template <class T, class Sum>
void multiply(const Product& p, const T* a, const T* b, T* c) {
  for (int64_t i = 0; i < p.m; ++i) {
    for (int64_t j = 0; j < p.n; ++j) {
      Sum sum = 0;
      for (int64_t k = 0; k < p.k; ++k) {
        sum += Sum(p.op_a == CUBLAS_OP_N ? a[i + k * p.lda] : a[k + i * p.lda]) *
               Sum(p.op_b == CUBLAS_OP_N ? b[k + j * p.ldb] : b[j + k * p.ldb]);
      }
      c[i + j * p.ldc] = T(sum);
    }
  }
}

// cuBLAS refuses leading dimensions that are too short.
bool valid(const Product& p) {
  return p.lda >= (p.op_a == CUBLAS_OP_N ? p.m : p.k) && p.ldb >= (p.op_b == CUBLAS_OP_N ? p.k : p.n) && p.ldc >= p.m;
}

template <class T, class Sum>
void multiply_batch(const Product& p, const void* a, int64_t stride_a, const void* b, int64_t stride_b, void* c,
                    int64_t stride_c, int64_t batch) {
  for (int64_t i = 0; i < batch; ++i) {
    multiply<T, Sum>(p, static_cast<const T*>(a) + i * stride_a, static_cast<const T*>(b) + i * stride_b,
                     static_cast<T*>(c) + i * stride_c);
  }
}

}  // namespace

// alpha is 1 and beta 0 in all calls of kernels/cuda.
cublasStatus_t cublasGemmStridedBatchedEx_64(cublasHandle_t, cublasOperation_t op_a, cublasOperation_t op_b, int64_t m,
                                             int64_t n, int64_t k, const void*, const void* a, cudaDataType type,
                                             int64_t lda, int64_t stride_a, const void* b, cudaDataType, int64_t ldb,
                                             int64_t stride_b, const void*, void* c, cudaDataType, int64_t ldc,
                                             int64_t stride_c, int64_t batch, cublasComputeType_t, cublasGemmAlgo_t) {
  const Product p = {op_a, op_b, m, n, k, lda, ldb, ldc};
  if (!valid(p)) return CUBLAS_STATUS_INVALID_VALUE;
  switch (type) {
    case CUDA_R_32F:
      multiply_batch<float, float>(p, a, stride_a, b, stride_b, c, stride_c, batch);
      break;
    case CUDA_R_64F:
      multiply_batch<double, double>(p, a, stride_a, b, stride_b, c, stride_c, batch);
      break;
    case CUDA_R_16BF:
      multiply_batch<rstorch::bf16, float>(p, a, stride_a, b, stride_b, c, stride_c, batch);
      break;
    case CUDA_R_16F:
      multiply_batch<rstorch::f16, float>(p, a, stride_a, b, stride_b, c, stride_c, batch);
      break;
  }
  return CUBLAS_STATUS_SUCCESS;
}
