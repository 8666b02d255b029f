// y = f(x) for every struct of unary_ops.h.
#include "kernels/cuda/install.h"
#include "kernels/cuda/map.cuh"

namespace rstorch::kernels {
namespace {

template <class F>
struct Value {
  F f;
  template <class T>
  __device__ auto operator()(T x) const {
    return f.value(x);
  }
};

template <class F>
void forward_cuda(CudaStream& stream, F f, ConstView x, View y) {
  dispatch(typename F::Types{}, x.dtype, F::name, [&]<class T>(Type<T>) {
    using Y = std::conditional_t<std::is_same_v<decltype(f.value(Compute<T>{})), bool>, bool, T>;
    map<Y, T>(stream, F::name, Value<F>{f}, y, {x});
  });
}

template <class... Fs>
void install(TypeList<Fs...>) {
  ((Unary<Fs>::forward.cuda = forward_cuda<Fs>), ...);
}

}  // namespace

void install_unary() { install(UnaryOps{}); }

}  // namespace rstorch::kernels
