// Elementwise kernels of two tensors: every struct of binary_ops.h.
#include <tuple>

#include "kernels/cpu/map.h"

namespace rstorch::kernels {
namespace {

// In functions of their own, so that bf16, f16 and f32 share an instance.
template <class T, class F>
void map_value(F f, const Operand& a, const Operand& b, const View& y) {
  map<decltype(f.value(T{}, T{})), T, T>(y, {a, b}, kGrain, [f](T x0, T x1) { return f.value(x0, x1); });
}
template <class T, class F>
void map_slope_a(F f, const Operand& a, const Operand& b, const Operand& dy, const View& da) {
  map<T, T, T, T>(da, {a, b, dy}, kGrain, [f](T x0, T x1, T g) { return g * f.slope_a(x0, x1); });
}
template <class T, class F>
void map_slope_b(F f, const Operand& a, const Operand& b, const Operand& dy, const View& db) {
  map<T, T, T, T>(db, {a, b, dy}, kGrain, [f](T x0, T x1, T g) { return g * f.slope_b(x0, x1); });
}

template <class F>
void forward_cpu(CpuStream&, F f, Operand a, Operand b, View y) {
  const DType dtype = a.is_number ? b.view.dtype : a.view.dtype;
  dispatch(typename F::Types{}, dtype, F::name, [&]<class T>(Type<T>) { map_value<Compute<T>>(f, a, b, y); });
}
template <class F>
void backward_a_cpu(CpuStream&, F f, Operand a, Operand b, ConstView dy, View da) {
  dispatch(Floats{}, dy.dtype, F::name, [&]<class T>(Type<T>) { map_slope_a<Compute<T>>(f, a, b, dy, da); });
}
template <class F>
void backward_b_cpu(CpuStream&, F f, Operand a, Operand b, ConstView dy, View db) {
  dispatch(Floats{}, dy.dtype, F::name, [&]<class T>(Type<T>) { map_slope_b<Compute<T>>(f, a, b, dy, db); });
}

}  // namespace

template <class F>
Kernel<F, Operand, Operand, View> Binary<F>::forward{F::name, forward_cpu<F>};
template <class F>
Kernel<F, Operand, Operand, ConstView, View> Binary<F>::backward_a{joined<F::name, kBackwardA>, backward_a_cpu<F>};
template <class F>
Kernel<F, Operand, Operand, ConstView, View> Binary<F>::backward_b{joined<F::name, kBackwardB>, backward_b_cpu<F>};

namespace {

template <class F>
auto kernels_of() {
  if constexpr (HasSlopes<F>)
    return std::tuple(&Binary<F>::forward, &Binary<F>::backward_a, &Binary<F>::backward_b);
  else
    return std::tuple(&Binary<F>::forward);
}
template <class... Fs>
auto kernels_of(TypeList<Fs...>) {
  return std::tuple(kernels_of<Fs>()...);
}
[[gnu::used]] const auto instances = kernels_of(BinaryOps{});

}  // namespace
}  // namespace rstorch::kernels
