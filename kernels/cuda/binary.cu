// y = f(a, b) for every struct of binary_ops.h.
#include "kernels/cuda/install.h"
#include "kernels/cuda/map.cuh"

namespace rstorch::kernels {
namespace {

template <class F>
struct Value {
  F f;
  template <class T>
  __device__ auto operator()(T a, T b) const {
    return f.value(a, b);
  }
};

template <class F>
void forward_cuda(CudaStream& stream, F f, Operand a, Operand b, View y) {
  const DType dtype = a.is_number ? b.view.dtype : a.view.dtype;
  dispatch(typename F::Types{}, dtype, F::name, [&]<class T>(Type<T>) {
    using Y = std::conditional_t<std::is_same_v<decltype(f.value(Compute<T>{}, Compute<T>{})), bool>, bool, T>;
    map<Y, T, T>(stream, F::name, Value<F>{f}, y, {a, b});
  });
}

template <class... Fs>
void install(TypeList<Fs...>) {
  ((Binary<Fs>::forward.cuda = forward_cuda<Fs>), ...);
}

}  // namespace

void install_binary() { install(BinaryOps{}); }

}  // namespace rstorch::kernels
