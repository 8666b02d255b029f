#include "kernels/copy.h"
#include "kernels/cuda/install.h"
#include "kernels/cuda/map.cuh"

namespace rstorch::kernels {
namespace {

struct Same {
  template <class T>
  __device__ T operator()(T x) const {
    return x;
  }
};

void copy_cuda(CudaStream& stream, ConstView x, View y) {
  if (x.dtype == y.dtype && x.contiguous() && y.contiguous()) {
    return stream.copy_bytes(y.data, x.data, size_t(x.numel()) * size_of(x.dtype));
  }
  dispatch(AllTypes{}, x.dtype, "copy", [&]<class X>(Type<X>) {
    dispatch(AllTypes{}, y.dtype, "copy", [&]<class Y>(Type<Y>) { map<Y, X>(stream, "copy", Same{}, y, {x}); });
  });
}

void fill_cuda(CudaStream& stream, View y, Scalar value) {
  dispatch(AllTypes{}, y.dtype, "fill", [&]<class Y>(Type<Y>) { map<Y, Y>(stream, "fill", Same{}, y, {value}); });
}

}  // namespace

void install_copy() {
  copy.cuda = copy_cuda;
  fill.cuda = fill_cuda;
}

}  // namespace rstorch::kernels
