// Sums in lanes: one accumulator per lane, a number of lanes that does not depend on the instruction set, and a fixed
// order of adding them up. So the result is the same on every machine of one floating-point arithmetic. For use inside
// vectorised().
#pragma once

#include <cstdint>

namespace rstorch::kernels {

// combine over i in [0, n) of f(i), starting from `identity`.
template <class A, int Lanes = 16, class F, class Combine>
inline __attribute__((always_inline)) A fold(int64_t n, A identity, F f, Combine combine) {
  A lanes[Lanes];
  for (int l = 0; l < Lanes; ++l) lanes[l] = identity;
  int64_t i = 0;
  for (; i + Lanes <= n; i += Lanes) {
    for (int l = 0; l < Lanes; ++l) lanes[l] = combine(lanes[l], f(i + l));
  }
  for (int l = 0; i + l < n; ++l) lanes[l] = combine(lanes[l], f(i + l));
  for (int width = Lanes / 2; width > 0; width /= 2) {
    for (int l = 0; l < width; ++l) lanes[l] = combine(lanes[l], lanes[l + width]);
  }
  return lanes[0];
}

// The sum over i in [0, n) of f(i), accumulated in A.
template <class A, int Lanes = 16, class F>
inline __attribute__((always_inline)) A sum_lanes(int64_t n, F f) {
  return fold<A, Lanes>(n, A(0), f, [](A a, A b) { return a + b; });
}

}  // namespace rstorch::kernels
