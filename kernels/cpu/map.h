// The engine of all elementwise CPU kernels: y[i] = f(x0[i], x1[i], ...).
//
// Contiguous views of the right dtype are used as they are. Others are brought, in blocks that stay in the first-level
// cache, into contiguous buffers of the type that f computes in; so each f is compiled for one layout only, 16-bit
// floats need no f of their own, and no broadcast or strided operand is ever materialised.
#pragma once

#include <array>
#include <functional>
#include <span>

#include "kernels/cpu/parallel.h"
#include "kernels/cpu/simd.h"
#include "kernels/element.h"
#include "kernels/elementwise.h"

namespace rstorch::kernels {

// Calls block(y, x, n) for blocks that make up the views: y and x[k] point at n contiguous elements of y_type and
// x_types[k].
using BlockFunction = std::function<void(void* y, const void* const* x, int64_t n)>;

// Puts the dimensions of all views in the order of y's memory, outermost first: what is dense in the same order, as
// channels-last images are, is contiguous then.
void sort_dimensions(View& y, std::span<Operand> x);

void map_blocks(const View& y, DType y_type, std::span<const Operand> x, std::span<const DType> x_types, int64_t grain,
                const BlockFunction& block);

namespace detail {

template <class Y, class... X, class F>
void loop(F f, Y* y, const X*... x, int64_t n) {
  vectorised([=] {
#pragma GCC ivdep
    for (int64_t i = 0; i < n; ++i) y[i] = f(x[i]...);
  });
}

template <class Y, class... X, class F, size_t... I>
void map(const View& y, const std::array<Operand, sizeof...(X)>& x, int64_t grain, F f, std::index_sequence<I...>) {
  const bool plain = y.dtype == dtype_of<Y>() && y.contiguous() &&
                     ((!x[I].is_number && x[I].view.dtype == dtype_of<X>() && x[I].view.contiguous()) && ...);
  if (plain) {
    return parallel_for(y.numel(), grain, [&](int64_t begin, int64_t end) {
      loop<Y, X...>(f, y.as<Y>() + begin, (x[I].view.template as<X>() + begin)..., end - begin);
    });
  }
  const std::array<DType, sizeof...(X)> types = {dtype_of<X>()...};
  map_blocks(y, dtype_of<Y>(), x, types, grain, [f](void* out, const void* const* in, int64_t n) {
    loop<Y, X...>(f, static_cast<Y*>(out), static_cast<const X*>(in[I])..., n);
  });
}

}  // namespace detail

// y = f(x...), with X... and Y the types that f takes and returns. `grain`: see parallel_for.
template <class Y, class... X, class F>
void map(View y, std::array<Operand, sizeof...(X)> x, int64_t grain, F f) {
  if (!y.contiguous()) sort_dimensions(y, x);
  detail::map<Y, X...>(y, x, grain, f, std::index_sequence_for<X...>{});
}

}  // namespace rstorch::kernels
