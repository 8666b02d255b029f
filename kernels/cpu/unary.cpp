// Elementwise kernels of one tensor: every struct of unary_ops.h.
#include <tuple>

#include "kernels/cpu/map.h"

namespace rstorch::kernels {
namespace {

// In functions of their own, so that bf16, f16 and f32 share an instance.
template <class T, class F>
void map_value(F f, const Operand& x, const View& y) {
  map<decltype(f.value(T{})), T>(y, {x}, kGrain, [f](T value) { return f.value(value); });
}
template <class T, class F>
void map_slope(F f, const Operand& kept, const Operand& dy, const View& dx) {
  map<T, T, T>(dx, {kept, dy}, kGrain, [f](T value, T g) { return g * f.slope(value); });
}

template <class F>
void forward_cpu(CpuStream&, F f, ConstView x, View y) {
  dispatch(typename F::Types{}, x.dtype, F::name, [&]<class T>(Type<T>) { map_value<Compute<T>>(f, x, y); });
}
template <class F>
void backward_cpu(CpuStream&, F f, ConstView kept, ConstView dy, View dx) {
  dispatch(Floats{}, dy.dtype, F::name, [&]<class T>(Type<T>) { map_slope<Compute<T>>(f, kept, dy, dx); });
}

}  // namespace

template <class F>
Kernel<F, ConstView, View> Unary<F>::forward{F::name, forward_cpu<F>};
template <class F>
Kernel<F, ConstView, ConstView, View> Unary<F>::backward{joined<F::name, kBackward>, backward_cpu<F>};

namespace {

template <class F>
auto kernels_of() {
  if constexpr (HasSlope<F>)
    return std::tuple(&Unary<F>::forward, &Unary<F>::backward);
  else
    return std::tuple(&Unary<F>::forward);
}
template <class... Fs>
auto kernels_of(TypeList<Fs...>) {
  return std::tuple(kernels_of<Fs>()...);
}
[[gnu::used]] const auto instances = kernels_of(UnaryOps{});

}  // namespace
}  // namespace rstorch::kernels
