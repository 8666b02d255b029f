// Scalar mathematics that both compilers accept, for element types float and double.
//
// The float versions are branch-free, so that a loop over them vectorises, and have the same text on every device.
// Errors are at most about 2 ulp (tests/ops/math_test.cpp measures them). The double versions are the standard
// library's.
#pragma once

#include <bit>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <limits>

#include "base/hd.h"

namespace rstorch::math {

RST_HD double exp(double x) { return std::exp(x); }
RST_HD double log(double x) { return std::log(x); }
RST_HD double tanh(double x) { return std::tanh(x); }
RST_HD double erf(double x) { return std::erf(x); }
RST_HD double sqrt(double x) { return std::sqrt(x); }
RST_HD double sin(double x) { return std::sin(x); }
RST_HD double cos(double x) { return std::cos(x); }
RST_HD double pow(double x, double y) { return std::pow(x, y); }
RST_HD float exp(float x) { return std::exp(x); }
RST_HD float log(float x) { return std::log(x); }
RST_HD float tanh(float x) { return std::tanh(x); }
RST_HD float erf(float x) { return std::erf(x); }
RST_HD float sqrt(float x) { return std::sqrt(x); }
RST_HD float sin(float x) { return std::sin(x); }
RST_HD float cos(float x) { return std::cos(x); }
RST_HD float pow(float x, float y) { return std::pow(x, y); }

// Integer powers wrap; a negative exponent gives 0 but for bases 1 and -1.
template <std::integral T>
RST_HD T pow(T x, T n) {
  if (n < 0) return x == T(1) ? T(1) : x == T(-1) ? (n % 2 == 0 ? T(1) : T(-1)) : T(0);
  uint64_t out = 1, base = uint64_t(x);
  for (; n > 0; n = T(n / 2), base *= base) out *= n % 2 == 1 ? base : 1;
  return T(out);
}
template <class T>
RST_HD T abs(T x) {
  if constexpr (std::is_floating_point_v<T>)
    return std::fabs(x);
  else
    return x < T(0) ? T(-x) : x;
}
// x as a T, the nearest one that there is.
template <class T>
RST_HD T saturate(double x) {
  if constexpr (std::is_integral_v<T>) {
    if (x >= double(std::numeric_limits<T>::max())) return std::numeric_limits<T>::max();
    if (x <= double(std::numeric_limits<T>::lowest())) return std::numeric_limits<T>::lowest();
  }
  return T(x);
}

template <class T>
RST_HD T sigmoid(T x) {
  return T(1) / (T(1) + exp(-x));
}
// The larger and the smaller; nan if one of them is.
template <class T>
RST_HD T maximum(T a, T b) {
  return a > b || a != a ? a : b;
}
template <class T>
RST_HD T minimum(T a, T b) {
  return a < b || a != a ? a : b;
}

struct NormalPair {
  float first, second;
};
// Two independent standard normal numbers from two random words (Box & Muller 1958).
RST_HD NormalPair normal_pair(uint32_t a, uint32_t b) {
  const float radius = sqrt(-2.0f * log((float(a) + 0.5f) * 0x1p-32f));
  // The angle is b / 2^32 turns: a quadrant and, exactly, what remains in [-1/8, 1/8) turns.
  const uint32_t quadrant = (b + 0x20000000u) >> 30;
  const float angle = float(int32_t(b - (quadrant << 30))) * float(6.283185307179586 * 0x1p-32);
  const float s = sin(angle), c = cos(angle);
  const float x = quadrant & 1 ? s : c, y = quadrant & 1 ? c : s;
  const bool negative_x = ((quadrant + 1) & 2) != 0, negative_y = (quadrant & 2) != 0;
  return {radius * (negative_x ? -x : x), radius * (negative_y ? -y : y)};
}

}  // namespace rstorch::math
