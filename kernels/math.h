// Scalar mathematics that both compilers accept, for element types float and double.
//
// The float functions exp, log, tanh, sigmoid, softplus and erf are ours: without branches, so that a loop over them
// vectorises, and of the same text on every device. They are right to about 2 units in the last place over the whole
// range, with infinities, nan and subnormal numbers as they should be (tests/unit/math_test.cpp measures that). All
// others are the standard library's. Coefficients are minimax fits of the function named beside them, rounded to float
// one after the other.
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
template <std::floating_point T>
RST_HD T sqrt(T x) {
  return std::sqrt(x);
}
template <std::floating_point T>
RST_HD T sin(T x) {
  return std::sin(x);
}
template <std::floating_point T>
RST_HD T cos(T x) {
  return std::cos(x);
}
template <std::floating_point T>
RST_HD T pow(T x, T y) {
  return std::pow(x, y);
}
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
// The larger and the smaller; nan if one of them is.
template <class T>
RST_HD T maximum(T a, T b) {
  return a > b || a != a ? a : b;
}
template <class T>
RST_HD T minimum(T a, T b) {
  return a < b || a != a ? a : b;
}

namespace detail {

// c0 + c1 x + c2 x^2 + ...
RST_HD float polynomial(float, float c0) { return c0; }
template <class... Cs>
RST_HD float polynomial(float x, float c0, Cs... cs) {
  return c0 + x * polynomial(x, cs...);
}

// 2^n for n in [-126, 127].
RST_HD float power_of_two(int32_t n) { return std::bit_cast<float>((n + 127) << 23); }

// x = n ln 2 + r, |r| <= ln 2 / 2, for |x| below 2^20.
struct Reduced {
  int32_t n;
  float r;
};
RST_HD Reduced reduce_by_ln2(float x) {
  constexpr float shift = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer, which is then in the low bits
  const float shifted = x * 1.44269504f + shift;
  const float n = shifted - shift;
  // ln 2 in two parts, the first of so few bits that its product with n is exact.
  const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  return {std::bit_cast<int32_t>(shifted) - std::bit_cast<int32_t>(shift), r};
}

// exp(r) - 1 for |r| <= ln 2 / 2: (exp(r) - 1 - r) / r^2.
RST_HD float small_expm1(float r) {
  return r + r * r * polynomial(r, 0.5f, 0.166666672f, 0.0416664742f, 0.00833320897f, 0.00139344565f, 0.000199434391f);
}

}  // namespace detail

RST_HD float exp(float x) {
  // Beyond these the result is infinity or 0; written so that nan stays.
  x = x > 89.0f ? 89.0f : x;
  x = x < -104.0f ? -104.0f : x;
  const detail::Reduced reduced = detail::reduce_by_ln2(x);
  const int32_t half = reduced.n >> 1;  // 2^n itself may be out of range
  const float y = 1.0f + detail::small_expm1(reduced.r);
  return y * detail::power_of_two(half) * detail::power_of_two(reduced.n - half);
}

RST_HD float log(float x) {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  const bool subnormal = x < std::numeric_limits<float>::min();
  const uint32_t bits = std::bit_cast<uint32_t>(subnormal ? x * 0x1p25f : x);
  // x = 2^e m with m in [sqrt(1/2), sqrt(2)).
  constexpr uint32_t sqrt_half = 0x3f3504f3;
  const int32_t exponent = int32_t(bits - sqrt_half) >> 23;
  const float e = float(exponent - (subnormal ? 25 : 0));
  const float f = std::bit_cast<float>(bits - (uint32_t(exponent) << 23)) - 1.0f;
  // (log(1 + f) - f + f^2 / 2) / f^3
  const float tail = detail::polynomial(f, 0.333333135f, -0.250000089f, 0.200020716f, -0.166679889f, 0.142203584f,
                                        -0.124062337f, 0.118835486f, -0.116700977f, 0.0674926788f);
  const float small = f * f * (f * tail - 0.5f) - e * 2.12194440e-4f;
  const float y = e * 0.693359375f + (f + small);
  const float special = x == 0.0f ? -infinity : x > 0.0f ? x : std::numeric_limits<float>::quiet_NaN();
  return x > 0.0f && x < infinity ? y : special;
}

// By u = exp(2 |x|) - 1: u / (u + 2).
RST_HD float tanh(float x) {
  const float size = std::fabs(x);
  const detail::Reduced reduced = detail::reduce_by_ln2(size > 10.0f ? 20.0f : 2.0f * size);
  const float power = detail::power_of_two(reduced.n);
  const float u = power * detail::small_expm1(reduced.r) + (power - 1.0f);
  return std::copysign(u / (u + 2.0f), x);
}

// Either side with an exponential that cannot overflow.
template <class T>
RST_HD T sigmoid(T x) {
  const T e = exp(-abs(x));
  return (x < T(0) ? e : T(1)) / (T(1) + e);
}

namespace detail {
// log(1 + x) for x in [0, 1], by 2 atanh(z) with z = x / (2 + x) of at most 1/3.
RST_HD double small_log1p(double x) { return std::log1p(x); }
RST_HD float small_log1p(float x) {
  const float z = x / (2.0f + x), square = z * z;
  // (atanh(z) / z - 1) / z^2
  const float tail = polynomial(square, 0.333332092f, 0.200107187f, 0.140015125f, 0.140033901f);
  return 2.0f * (z + z * square * tail);
}
}  // namespace detail

// log(1 + exp(x)), with an exponential that cannot overflow.
template <class T>
RST_HD T softplus(T x) {
  return (x > T(0) ? x : T(0)) + detail::small_log1p(exp(-abs(x)));
}

RST_HD float erf(float x) {
  const float size = std::fabs(x);
  // erf(x) / x - 1 in x^2
  const float near = x + x * detail::polynomial(x * x, 0.128379151f, -0.376124918f, 0.112817682f, -0.0267644022f,
                                                0.00498952018f, -0.000597079401f);
  // log(1 - erf(t)) + t; at 4 the result is 1
  const float t = size > 4.0f ? 4.0f : size;
  const float exponent = detail::polynomial(t, -0.000166447775f, -0.127797246f, -0.636976063f, -0.10411372f,
                                            0.0223152544f, -0.00306551019f, 0.000198223352f);
  const float far = std::copysign(1.0f - exp(exponent - t), x);
  return size < 0.9275f ? near : far;
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
  const float square = angle * angle;
  const float s = angle + angle * square * detail::polynomial(square, -0.166666552f, 0.0083321901f, -0.000195184082f);
  const float c = 1.0f - 0.5f * square +
                  square * square * detail::polynomial(square, 0.0416666456f, -0.00138873013f, 2.44306684e-05f);
  const bool swapped = (quadrant & 1) != 0, negative_x = ((quadrant + 1) & 2) != 0, negative_y = (quadrant & 2) != 0;
  const float x = swapped ? s : c, y = swapped ? c : s;
  return {radius * (negative_x ? -x : x), radius * (negative_y ? -y : y)};
}

}  // namespace rstorch::math
