// Products by cuBLAS; of integers, which it has none for, by a plain kernel.
#include "kernels/cuda/blas.h"
#include "kernels/cuda/install.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/element.h"
#include "kernels/matmul.h"

namespace rstorch::kernels {
namespace {

template <class T>
inline constexpr cudaDataType kBlasType = std::is_same_v<T, double>  ? CUDA_R_64F
                                          : std::is_same_v<T, float> ? CUDA_R_32F
                                          : std::is_same_v<T, bf16>  ? CUDA_R_16BF
                                                                     : CUDA_R_16F;

// cuBLAS counts by columns: a row-major matrix is its transpose there, and y = a c is asked for as y' = c' a'.
template <class T>
void matmul_blas(CudaStream& stream, const ConstView& a, const ConstView& c, const View& y) {
  using Sum = std::conditional_t<std::is_same_v<T, double>, double, float>;
  constexpr cublasComputeType_t compute = std::is_same_v<T, double> ? CUBLAS_COMPUTE_64F : CUBLAS_COMPUTE_32F;
  const Sum one = 1, zero = 0;
  const MatrixLayout in_a = matrix_layout(a), in_c = matrix_layout(c);
  const auto operation = [](const MatrixLayout& layout) { return layout.transposed ? CUBLAS_OP_T : CUBLAS_OP_N; };
  const int64_t columns = y.size(2);
  const auto blas = static_cast<cublasHandle_t>(stream.blas_handle());
  check(cublasGemmStridedBatchedEx_64(blas, operation(in_c), operation(in_a), columns, y.size(1), a.size(2), &one,
                                      c.data, kBlasType<T>, in_c.leading, c.strides[0], a.data, kBlasType<T>,
                                      in_a.leading, a.strides[0], &zero, y.data, kBlasType<T>, columns,
                                      y.size(1) * columns, y.size(0), compute, CUBLAS_GEMM_DEFAULT),
        "cublasGemmStridedBatchedEx");
}

struct Matrices {
  int64_t batch, row, column;  // strides
};
Matrices strides_of(const ConstView& view) { return {view.strides[0], view.strides[1], view.strides[2]}; }

// An element of y a thread.
template <class T>
__global__ void matmul_plain(const T* a, Matrices in_a, const T* c, Matrices in_c, T* y, uint32_t rows,
                             uint32_t columns, uint32_t count, int64_t inner) {
  const uint32_t at = blockIdx.x * blockDim.x + threadIdx.x;
  if (at >= count) return;
  const uint32_t column = at % columns, row = at / columns % rows, batch = at / columns / rows;
  a += batch * in_a.batch + row * in_a.row;
  c += batch * in_c.batch + column * in_c.column;
  T sum = 0;
  for (int64_t k = 0; k < inner; ++k) sum += a[k * in_a.column] * c[k * in_c.row];
  y[at] = sum;
}

template <class T>
void matmul_integers(CudaStream& stream, const ConstView& a, const ConstView& c, const View& y) {
  if (y.numel() >= int64_t(1) << 31) throw ShapeError(format("matmul: {} integers are too many", y.numel()));
  const auto count = uint32_t(y.numel());
  launch(stream, "matmul", count, matmul_plain<T>, a.as<T>(), strides_of(a), c.as<T>(), strides_of(c), y.as<T>(),
         uint32_t(y.size(1)), uint32_t(y.size(2)), count, a.size(2));
}

void matmul_cuda(CudaStream& stream, ConstView a, ConstView c, View y) {
  if (y.numel() == 0) return;
  if (a.size(2) == 0) {  // a sum of nothing
    const auto queue = static_cast<cudaStream_t>(stream.handle());
    return check(cudaMemsetAsync(y.data, 0, size_t(y.numel()) * size_of(y.dtype), queue), "cudaMemsetAsync");
  }
  dispatch(AllNumbers{}, y.dtype, "matmul", [&]<class T>(Type<T>) {
    if constexpr (std::is_integral_v<T>)
      matmul_integers<T>(stream, a, c, y);
    else
      matmul_blas<T>(stream, a, c, y);
  });
}

}  // namespace

void install_matmul() { matmul.cuda = matmul_cuda; }

}  // namespace rstorch::kernels
