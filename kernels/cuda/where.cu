#include "kernels/cuda/install.h"
#include "kernels/cuda/map.cuh"

namespace rstorch::kernels {
namespace {

struct Choose {
  template <class T>
  __device__ T operator()(bool take_a, T a, T b) const {
    return take_a ? a : b;
  }
};

void where_cuda(CudaStream& stream, ConstView condition, Operand a, Operand b, View y) {
  dispatch(AllTypes{}, y.dtype, "where", [&]<class T>(Type<T>) {
    map<T, bool, T, T>(stream, "where", Choose{}, y, {condition, a, b});
  });
}

}  // namespace

void install_where() { where.cuda = where_cuda; }

}  // namespace rstorch::kernels
