// da = dy * f.slope_a(a, b) and db = dy * f.slope_b(a, b) for every struct of binary_ops.h that has slopes.
#include "kernels/cuda/install.h"
#include "kernels/cuda/map.cuh"

namespace rstorch::kernels {
namespace {

template <class F>
struct SlopeA {
  F f;
  template <class T>
  __device__ T operator()(T a, T b, T dy) const {
    return dy * f.slope_a(a, b);
  }
};
template <class F>
struct SlopeB {
  F f;
  template <class T>
  __device__ T operator()(T a, T b, T dy) const {
    return dy * f.slope_b(a, b);
  }
};

template <template <class> class Slope, class F>
void backward_cuda(CudaStream& stream, F f, Operand a, Operand b, ConstView dy, View dx) {
  dispatch(Floats{}, dy.dtype, F::name, [&]<class T>(Type<T>) {
    map<T, T, T, T>(stream, F::name, Slope<F>{f}, dx, {a, b, dy});
  });
}

template <class F>
void install() {
  if constexpr (HasSlopes<F>) {
    Binary<F>::backward_a.cuda = backward_cuda<SlopeA, F>;
    Binary<F>::backward_b.cuda = backward_cuda<SlopeB, F>;
  }
}
template <class... Fs>
void install(TypeList<Fs...>) {
  (install<Fs>(), ...);
}

}  // namespace

void install_binary_backward() { install(BinaryOps{}); }

}  // namespace rstorch::kernels
