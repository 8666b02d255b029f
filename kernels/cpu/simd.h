// Runs a loop in the widest vector instructions that the machine has.
//
//   vectorised([=] { for (int64_t i = 0; i < n; ++i) y[i] = f(x[i]); });
//
// The lambda is compiled once per instruction set: `flatten` inlines everything it calls into a function with that
// target, and the compiler vectorises the loop there. So the loop must be inside the lambda and its calls must be
// inlinable. Capture by value: what is captured by reference is read again from memory in every iteration.
#pragma once

#include <cstdint>

namespace rstorch::kernels {

enum class Isa : uint8_t { baseline, avx2, avx512 };

// Of other processors, the one that the compiler was told to build for is all there is.
#ifdef __x86_64__
namespace detail {
inline Isa detect_isa() {
  __builtin_cpu_init();
  if (__builtin_cpu_supports("x86-64-v4")) return Isa::avx512;
  return __builtin_cpu_supports("x86-64-v3") ? Isa::avx2 : Isa::baseline;
}
inline const Isa isa = detect_isa();

template <class F>
[[gnu::flatten]] void run_baseline(F f) {
  f();
}
template <class F>
[[gnu::target("arch=x86-64-v3"), gnu::flatten]] void run_avx2(F f) {
  f();
}
template <class F>
[[gnu::target("arch=x86-64-v4,prefer-vector-width=512"), gnu::flatten]] void run_avx512(F f) {
  f();
}
}  // namespace detail

// Calls f.operator()<isa>() with the instruction set that is used here.
template <class F>
void specialised(const F& f) {
  switch (detail::isa) {
    case Isa::avx512:
      return f.template operator()<Isa::avx512>();
    case Isa::avx2:
      return f.template operator()<Isa::avx2>();
    case Isa::baseline:
      return f.template operator()<Isa::baseline>();
  }
}

// Runs f compiled for `isa`, which the machine must have. For kernels that lay out data by the width of a vector.
template <Isa isa, class F>
void run_as(F f) {
  if constexpr (isa == Isa::avx512) {
    detail::run_avx512(f);
  } else if constexpr (isa == Isa::avx2) {
    detail::run_avx2(f);
  } else {
    detail::run_baseline(f);
  }
}
#else
template <class F>
void specialised(const F& f) {
  f.template operator()<Isa::baseline>();
}

template <Isa, class F>
void run_as(F f) {
  f();
}
#endif

template <class F>
void vectorised(F f) {
  specialised([&]<Isa isa> { run_as<isa>(f); });
}

}  // namespace rstorch::kernels
