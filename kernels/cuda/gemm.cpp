#include "kernels/cuda/gemm.h"

#include <algorithm>
#include <map>
#include <optional>
#include <tuple>

#include "base/error.h"
#include "kernels/cuda/blas.h"
#include "kernels/cuda/owned.h"

namespace rstorch::kernels {
namespace {

// What NVIDIA recommends for Hopper. Handed to cuBLASLt, which then allocates nothing of its own.
constexpr size_t kWorkspace = size_t(32) << 20;

using Operation = Owned<cublasLtMatmulDesc_t, cublasLtMatmulDescDestroy>;
using Operand = Owned<cublasLtMatrixLayout_t, cublasLtMatrixLayoutDestroy>;
using Preference = Owned<cublasLtMatmulPreference_t, cublasLtMatmulPreferenceDestroy>;

// A product that was asked for before, ready to run.
struct Prepared {
  Operation operation;
  Operand left, right, y;
  cublasLtMatmulAlgo_t algorithm;
};

cudaDataType data_type(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return CUDA_R_32F;
    case DType::f64:
      return CUDA_R_64F;
    case DType::bf16:
      return CUDA_R_16BF;
    default:
      return CUDA_R_16F;
  }
}

template <class T>
void set(const Operation& operation, cublasLtMatmulDescAttributes_t attribute, const T& value) {
  check(cublasLtMatmulDescSetAttribute(operation.get(), attribute, &value, sizeof value),
        "cublasLtMatmulDescSetAttribute");
}
template <class T>
void set(const Operand& operand, cublasLtMatrixLayoutAttribute_t attribute, const T& value) {
  check(cublasLtMatrixLayoutSetAttribute(operand.get(), attribute, &value, sizeof value),
        "cublasLtMatrixLayoutSetAttribute");
}
template <class T>
void set(const Preference& preference, cublasLtMatmulPreferenceAttributes_t attribute, const T& value) {
  check(cublasLtMatmulPreferenceSetAttribute(preference.get(), attribute, &value, sizeof value),
        "cublasLtMatmulPreferenceSetAttribute");
}

// How matrices lie for cuBLAS, which counts by columns: there they are the transposed ones.
Operand operand(cudaDataType type, const MatrixLayout& layout, int64_t rows, int64_t columns, int64_t batch,
                int64_t stride) {
  if (layout.transposed) std::swap(rows, columns);
  cublasLtMatrixLayout_t handle = nullptr;
  check(cublasLtMatrixLayoutCreate(&handle, type, uint64_t(columns), uint64_t(rows), layout.leading),
        "cublasLtMatrixLayoutCreate");
  Operand out(handle);
  set(out, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, int32_t(batch));
  set(out, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, stride);
  return out;
}

// The largest power of two up to 256 that divides an address.
uint32_t alignment(const void* memory) {
  const uint64_t address = reinterpret_cast<uintptr_t>(memory) | 256;
  return uint32_t(address & -address);
}

cublasLtEpilogue_t epilogue(const Gemm& product) {
  if (product.a_sums) return CUBLASLT_EPILOGUE_BGRADB;  // a is its right operand
  int parts = 0;
  if (product.bias) parts |= CUBLASLT_EPILOGUE_BIAS;
  if (product.activation == Activation::relu) parts |= CUBLASLT_EPILOGUE_RELU;
  if (product.activation == Activation::gelu_tanh)
    parts |= product.z ? CUBLASLT_EPILOGUE_GELU_AUX : CUBLASLT_EPILOGUE_GELU;
  return parts == 0 ? CUBLASLT_EPILOGUE_DEFAULT : cublasLtEpilogue_t(parts);
}

bool uses_tf32(const CudaStream& stream, const Gemm& p) { return p.dtype == DType::f32 && stream.allows_tf32(); }

cublasComputeType_t compute_type(const CudaStream& stream, const Gemm& p) {
  if (p.dtype == DType::f64) return CUBLAS_COMPUTE_64F;
  return uses_tf32(stream, p) ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
}

// What the epilogue reads or writes beside y.
const void* beside(const Gemm& p) { return p.a_sums ? p.a_sums : p.bias; }

// y = a c is asked for as y' = c' a'. Nothing where cuBLASLt has no algorithm for it.
std::optional<Prepared> prepare(CudaStream& stream, cublasLtHandle_t handle, const Gemm& p) {
  if (p.z && p.columns % 8 != 0) return std::nullopt;  // its rule for rows beside y
  const cudaDataType type = data_type(p.dtype);
  const bool is_double = p.dtype == DType::f64;
  cublasLtMatmulDesc_t operation = nullptr;
  check(cublasLtMatmulDescCreate(&operation, compute_type(stream, p), is_double ? CUDA_R_64F : CUDA_R_32F),
        "cublasLtMatmulDescCreate");
  Prepared out{Operation(operation),
               operand(type, p.c.layout, p.inner, p.columns, p.batch, p.c.stride),
               operand(type, p.a.layout, p.rows, p.inner, p.batch, p.a.stride),
               operand(data_type(p.y_dtype), {false, p.columns}, p.rows, p.columns, p.batch, p.rows * p.columns),
               {}};
  set(out.operation, CUBLASLT_MATMUL_DESC_TRANSA, p.c.layout.transposed ? CUBLAS_OP_T : CUBLAS_OP_N);
  set(out.operation, CUBLASLT_MATMUL_DESC_TRANSB, p.a.layout.transposed ? CUBLAS_OP_T : CUBLAS_OP_N);
  set(out.operation, CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue(p));
  if (beside(p)) {
    set(out.operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, beside(p));
    set(out.operation, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, data_type(p.y_dtype));
  }
  if (p.z) {
    set(out.operation, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, p.z);
    set(out.operation, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, p.columns);
  }

  cublasLtMatmulPreference_t wish = nullptr;
  check(cublasLtMatmulPreferenceCreate(&wish), "cublasLtMatmulPreferenceCreate");
  const Preference preference(wish);
  set(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, uint64_t(kWorkspace));
  // Split sums that several blocks add into one place in turn are left out: their order is not promised.
  // Of bias gradients nothing is promised where sums are split at all.
  set(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
      p.a_sums ? uint32_t(CUBLASLT_REDUCTION_SCHEME_NONE)
               : uint32_t(CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE | CUBLASLT_REDUCTION_SCHEME_OUTPUT_TYPE));
  set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, alignment(p.c.data));
  set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, alignment(p.a.data));
  set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, alignment(p.y));
  set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES,
      std::min({alignment(p.y), alignment(p.z), alignment(beside(p))}));
  cublasLtMatmulHeuristicResult_t found{};
  int count = 0;
  const cublasStatus_t code =
      cublasLtMatmulAlgoGetHeuristic(handle, out.operation.get(), out.left.get(), out.right.get(), out.y.get(),
                                     out.y.get(), preference.get(), 1, &found, &count);
  if (code != CUBLAS_STATUS_SUCCESS || count == 0 || found.state != CUBLAS_STATUS_SUCCESS) return std::nullopt;
  out.algorithm = found.algo;
  return out;
}

auto key_of(CudaStream& stream, const Gemm& p) {
  return std::tuple(stream.device().index, uses_tf32(stream, p), p.dtype, p.y_dtype, p.batch, p.rows, p.inner,
                    p.columns, p.a.layout.transposed, p.a.layout.leading, p.a.stride, p.c.layout.transposed,
                    p.c.layout.leading, p.c.stride, p.activation, p.bias != nullptr, p.z != nullptr,
                    p.a_sums != nullptr, alignment(p.a.data), alignment(p.c.data), alignment(p.y), alignment(p.z),
                    alignment(beside(p)));
}

}  // namespace

bool try_gemm(CudaStream& stream, const Gemm& p) {
  thread_local std::map<decltype(key_of(stream, p)), std::optional<Prepared>> known;
  const auto handle = static_cast<cublasLtHandle_t>(stream.blas_handle());
  const auto key = key_of(stream, p);
  auto at = known.find(key);
  if (at == known.end()) at = known.emplace(key, prepare(stream, handle, p)).first;
  if (!at->second) return false;
  const Prepared& prepared = *at->second;
  if (beside(p)) set(prepared.operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, beside(p));
  if (p.z) set(prepared.operation, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, p.z);
  const double one_double = 1, zero_double = 0;
  const float one_float = 1, zero_float = 0;
  const bool is_double = p.dtype == DType::f64;
  const void* const one = is_double ? static_cast<const void*>(&one_double) : &one_float;
  const void* const zero = is_double ? static_cast<const void*>(&zero_double) : &zero_float;
  const cublasStatus_t code =
      cublasLtMatmul(handle, prepared.operation.get(), one, p.c.data, prepared.left.get(), p.a.data,
                     prepared.right.get(), zero, p.y, prepared.y.get(), p.y, prepared.y.get(), &prepared.algorithm,
                     stream.workspace(kWorkspace), kWorkspace, static_cast<cudaStream_t>(stream.handle()));
  if (code == CUBLAS_STATUS_NOT_SUPPORTED) {  // its heuristics do not know all that its kernels cannot do
    at->second.reset();
    return false;
  }
  check(code, "cublasLtMatmul");
  return true;
}

void gemm(CudaStream& stream, const Gemm& p) {
  if (try_gemm(stream, p)) return;
  throw DeviceError(format("cuBLASLt has no algorithm for a product [{}, {}, {}] x [{}, {}] of {}", p.batch, p.rows,
                           p.inner, p.inner, p.columns, name_of(p.dtype)));
}

}  // namespace rstorch::kernels
