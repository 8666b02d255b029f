#include <cmath>
#include <cstdlib>
#include <cstring>

#include <cublasLt.h>

#include "base/half.h"
#include "tf32.h"

namespace {

struct Product {
  int64_t m, n, k;
  bool transposed_a, transposed_b;
  FakeMatrix a, b, d;
  FakeOperation operation;
};

// bias[j] = sum_k b[k, j].
template <class T, class D, class Sum>
void sum_columns(const Product& p, const T* b, D* bias) {
  for (int64_t j = 0; j < p.n; ++j) {
    Sum sum = 0;
    for (int64_t k = 0; k < p.k; ++k) sum += Sum(p.transposed_b ? b[j + k * p.b.leading] : b[k + j * p.b.leading]);
    bias[j] = D(sum);
  }
}

template <class T, class D, class Sum>
void multiply(const Product& p, const T* a, const T* b, D* d) {
  auto* const bias = static_cast<D*>(const_cast<void*>(p.operation.bias));
  if (p.operation.epilogue & CUBLASLT_EPILOGUE_BGRADB) sum_columns<T, D, Sum>(p, b, bias);
  const bool with_bias = p.operation.epilogue & CUBLASLT_EPILOGUE_BIAS,
             relu = p.operation.epilogue & CUBLASLT_EPILOGUE_RELU, gelu = p.operation.epilogue & CUBLASLT_EPILOGUE_GELU;
  auto* const aux = static_cast<D*>(p.operation.aux);
  const bool rounds = p.operation.compute == CUBLAS_COMPUTE_32F_FAST_TF32;
  const auto factor = [rounds](T x) { return rounds ? Sum(fake_cuda::to_tf32(x)) : Sum(x); };
  for (int64_t i = 0; i < p.m; ++i) {
    for (int64_t j = 0; j < p.n; ++j) {
      Sum sum = 0;
      for (int64_t k = 0; k < p.k; ++k) {
        sum += factor(p.transposed_a ? a[k + i * p.a.leading] : a[i + k * p.a.leading]) *
               factor(p.transposed_b ? b[j + k * p.b.leading] : b[k + j * p.b.leading]);
      }
      if (with_bias) sum += Sum(bias[i]);
      if (relu && sum < 0) sum = 0;
      if (aux) aux[i + j * p.operation.aux_leading] = D(sum);
      if (gelu) sum *= Sum(0.5) * (1 + std::tanh(Sum(0.7978845608028654) * (sum + Sum(0.044715) * sum * sum * sum)));
      d[i + j * p.d.leading] = D(sum);
    }
  }
}

template <class T, class D, class Sum>
void multiply_into(const Product& p, const void* a, const void* b, void* d) {
  for (int64_t i = 0; i < p.d.batch; ++i) {
    multiply<T, D, Sum>(p, static_cast<const T*>(a) + i * p.a.stride, static_cast<const T*>(b) + i * p.b.stride,
                        static_cast<D*>(d) + i * p.d.stride);
  }
}

// The result is of the factors' type, or f32.
template <class T, class Sum>
void multiply_batch(const Product& p, const void* a, const void* b, void* d) {
  if (p.d.type == CUDA_R_32F) return multiply_into<T, float, Sum>(p, a, b, d);
  multiply_into<T, T, Sum>(p, a, b, d);
}

template <class T>
cublasStatus_t assign(T& to, const void* value, size_t bytes) {
  if (bytes != sizeof(T)) return CUBLAS_STATUS_INVALID_VALUE;
  std::memcpy(&to, value, bytes);
  return CUBLAS_STATUS_SUCCESS;
}

}  // namespace

const char* cublasLtGetStatusString(cublasStatus_t) { return "a fake status"; }
const char* cublasLtGetStatusName(cublasStatus_t) { return "CUBLAS_STATUS_FAKE"; }
cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  *handle = reinterpret_cast<cublasLtHandle_t>(std::malloc(1));
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
  std::free(handle);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* operation, cublasComputeType_t compute, cudaDataType) {
  *operation = new FakeOperation{.compute = compute};
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t operation, cublasLtMatmulDescAttributes_t attribute,
                                              const void* value, size_t bytes) {
  switch (attribute) {
    case CUBLASLT_MATMUL_DESC_TRANSA:
      return assign(operation->transa, value, bytes);
    case CUBLASLT_MATMUL_DESC_TRANSB:
      return assign(operation->transb, value, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE:
      return assign(operation->epilogue, value, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER:
      return assign(operation->aux, value, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD:
      return assign(operation->aux_leading, value, bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
      return assign(operation->bias, value, bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE:
      return assign(operation->bias_type, value, bytes);
  }
  return CUBLAS_STATUS_INVALID_VALUE;
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t operation) {
  delete operation;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* matrix, cudaDataType type, uint64_t rows,
                                          uint64_t columns, int64_t leading) {
  if (leading < int64_t(rows)) return CUBLAS_STATUS_INVALID_VALUE;
  *matrix = new FakeMatrix{type, int64_t(rows), int64_t(columns), leading};
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t matrix,
                                                cublasLtMatrixLayoutAttribute_t attribute, const void* value,
                                                size_t bytes) {
  if (attribute == CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT) return assign(matrix->batch, value, bytes);
  return assign(matrix->stride, value, bytes);
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t matrix) {
  delete matrix;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* preference) {
  *preference = new FakePreference;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t, cublasLtMatmulPreferenceAttributes_t,
                                                    const void*, size_t) {
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
  delete preference;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t operation, cublasLtMatrixLayout_t,
                                              cublasLtMatrixLayout_t, cublasLtMatrixLayout_t, cublasLtMatrixLayout_t,
                                              cublasLtMatmulPreference_t, int, cublasLtMatmulHeuristicResult_t*,
                                              int* count) {
  // As the real one: nothing but the product in double. And no bias gradients beside TF32: somebody has to do without.
  const bool can = operation->compute != CUBLAS_COMPUTE_64F &&
                   (operation->compute == CUBLAS_COMPUTE_32F || operation->epilogue != CUBLASLT_EPILOGUE_BGRADB);
  *count = can || operation->epilogue == CUBLASLT_EPILOGUE_DEFAULT ? 1 : 0;
  return CUBLAS_STATUS_SUCCESS;
}

// alpha is 1 and beta 0 in all calls of kernels/cuda.
cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t operation, const void*, const void* a,
                              cublasLtMatrixLayout_t in_a, const void* b, cublasLtMatrixLayout_t in_b, const void*,
                              const void*, cublasLtMatrixLayout_t, void* d, cublasLtMatrixLayout_t in_d,
                              const cublasLtMatmulAlgo_t*, void* workspace, size_t bytes, cudaStream_t stream) {
  const bool transposed_a = operation->transa == CUBLAS_OP_T, transposed_b = operation->transb == CUBLAS_OP_T;
  const Product p = {in_d->rows,   in_d->columns, transposed_a ? in_a->rows : in_a->columns,
                     transposed_a, transposed_b,  *in_a,
                     *in_b,        *in_d,         *operation};
  const bool fits =
      (transposed_a ? in_a->columns : in_a->rows) == p.m && (transposed_b ? in_b->columns : in_b->rows) == p.k &&
      (transposed_b ? in_b->rows : in_b->columns) == p.n && in_a->batch == in_d->batch && in_b->batch == in_d->batch;
  if (!fits || (operation->bias && operation->bias_type != in_d->type)) return CUBLAS_STATUS_INVALID_VALUE;
  const bool wants_aux = (operation->epilogue & 128) != 0;
  if (wants_aux != (operation->aux != nullptr)) return CUBLAS_STATUS_INVALID_VALUE;
  if (wants_aux && (operation->aux_leading % 8 != 0 || operation->aux_leading < p.m))
    return CUBLAS_STATUS_INVALID_VALUE;
  // As the real one might: not all that the heuristics name can be done.
  if (operation->epilogue == CUBLASLT_EPILOGUE_BGRADB && p.m % 2 == 1) return CUBLAS_STATUS_NOT_SUPPORTED;
  fake_cuda::submit(stream, [=, type = in_a->type] {
    std::memset(workspace, 0xff, bytes);  // whoever kept something there shows
    switch (type) {
      case CUDA_R_32F:
        return multiply_batch<float, float>(p, a, b, d);
      case CUDA_R_64F:
        return multiply_batch<double, double>(p, a, b, d);
      case CUDA_R_16BF:
        return multiply_batch<rstorch::bf16, float>(p, a, b, d);
      case CUDA_R_16F:
        return multiply_batch<rstorch::f16, float>(p, a, b, d);
    }
  });
  return CUBLAS_STATUS_SUCCESS;
}
