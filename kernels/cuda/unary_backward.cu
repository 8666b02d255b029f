// dx = dy * f.slope(kept) for every struct of unary_ops.h that has a slope.
#include "kernels/cuda/install.h"
#include "kernels/cuda/map.cuh"

namespace rstorch::kernels {
namespace {

template <class F>
struct Slope {
  F f;
  template <class T>
  __device__ T operator()(T kept, T dy) const {
    return dy * f.slope(kept);
  }
};

template <class F>
void backward_cuda(CudaStream& stream, F f, ConstView kept, ConstView dy, View dx) {
  dispatch(Floats{}, dy.dtype, F::name, [&]<class T>(Type<T>) {
    map<T, T, T>(stream, F::name, Slope<F>{f}, dx, {kept, dy});
  });
}

template <class F>
void install() {
  if constexpr (HasSlope<F>) Unary<F>::backward.cuda = backward_cuda<F>;
}
template <class... Fs>
void install(TypeList<Fs...>) {
  (install<Fs>(), ...);
}

}  // namespace

void install_unary_backward() { install(UnaryOps{}); }

}  // namespace rstorch::kernels
