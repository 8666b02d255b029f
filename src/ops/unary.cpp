#include <tuple>

#include "kernels/elementwise.h"
#include "ops/autocast.h"
#include "ops/elementwise.h"
#include "ops/layout.h"
#include "ops/op.h"
#include "ops/ops.h"

namespace rstorch {
namespace {

// What autocast computes in f32, as PyTorch does.
template <class F>
constexpr bool computes_in_full_precision =
    std::is_same_v<F, kernels::Exp> || std::is_same_v<F, kernels::Log> || std::is_same_v<F, kernels::Rsqrt>;

}  // namespace

template <class F>
Tensor unary(const Tensor& x, F f) {
  const Op op(F::name);
  op.require_defined("x", x);
  if (std::is_same_v<typename F::Types, Floats> && !is_floating(x.dtype())) return unary(to(x, kFloat32), f);
  if constexpr (computes_in_full_precision<F>) {
    if (full_precision_of(x.dtype(), x.device()) != x.dtype()) return unary(in_full_precision(x), f);
  }
  constexpr bool gives_bool = std::is_same_v<decltype(f.value(1.0f)), bool>;
  Tensor y = empty_image(x.shape(), {gives_bool ? kBool : x.dtype(), x.device()}, layout_of(x));
  kernels::Unary<F>::forward(op.stream(x), f, x.view(), y.mutable_view());
  if constexpr (!kernels::HasSlope<F>) {
    return y;
  } else {
    const Tensor kept = F::keep == kernels::Keep::input ? x : F::keep == kernels::Keep::output ? y : Tensor();
    return op.record(y, inputs(x), saves(kept), [f](const Saved& saved, const Tensor& dy) {
      Tensor dx = empty_image(dy.shape(), dy.options(), layout_of(saved[0].defined() ? saved[0] : dy));
      const ConstView kept = saved[0].defined() ? saved[0].view() : dy.view();  // a constant slope reads nothing
      kernels::Unary<F>::backward(current_stream(dy.device()), f, kept, dy.view(), dx.mutable_view());
      return Grads{dx};
    });
  }
}

namespace {

template <class... Fs>
auto unary_instances_of(TypeList<Fs...>) {
  return std::tuple(&unary<Fs>...);
}
[[gnu::used]] const auto unary_instances = unary_instances_of(kernels::UnaryOps{});

}  // namespace

Tensor clamp(const Tensor& x, std::optional<Scalar> min, std::optional<Scalar> max) {
  const Op op("clamp");
  op.require_defined("x", x);
  op.require(min || max, "min and max are both left out", "give at least one of them");
  DType dtype = x.dtype();
  for (const std::optional<Scalar>& bound : {min, max}) {
    if (bound && result_type(x, *bound) != x.dtype()) dtype = result_type(x, *bound);
  }
  constexpr double infinity = std::numeric_limits<double>::infinity();
  return unary(to(x, dtype), kernels::Clamp{min ? min->as<double>() : -infinity, max ? max->as<double>() : infinity});
}

}  // namespace rstorch
