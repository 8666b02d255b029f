// Products by cuBLASLt; of integers, which it has none for, by a plain kernel.
#include "kernels/cuda/gemm.h"
#include "kernels/cuda/install.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/element.h"
#include "kernels/matmul.h"

namespace rstorch::kernels {
namespace {

struct Steps {
  int64_t batch, row, column;
};
Steps steps_of(const ConstView& view) { return {view.strides[0], view.strides[1], view.strides[2]}; }

// An element of y a thread.
template <class T>
__global__ void matmul_plain(const T* a, Steps in_a, const T* c, Steps in_c, T* y, uint32_t rows, uint32_t columns,
                             uint32_t count, int64_t inner) {
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
  launch(stream, "matmul", count, matmul_plain<T>, a.as<T>(), steps_of(a), c.as<T>(), steps_of(c), y.as<T>(),
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
      gemm(stream, {.dtype = y.dtype,
                    .y_dtype = y.dtype,
                    .batch = y.size(0),
                    .rows = y.size(1),
                    .inner = a.size(2),
                    .columns = y.size(2),
                    .a = {a.data, matrix_layout(a), a.strides[0]},
                    .c = {c.data, matrix_layout(c), c.strides[0]},
                    .y = y.data});
  });
}

}  // namespace

void install_matmul() { matmul.cuda = matmul_cuda; }

}  // namespace rstorch::kernels
