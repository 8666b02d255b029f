// bf16 and f16: storage with casts to and from float (round to nearest even). No arithmetic: kernels compute in float.
#pragma once

#include <bit>
#include <cstdint>

#include "base/hd.h"

namespace rstorch {

struct bf16 {
  uint16_t bits = 0;

  bf16() = default;
  RST_HD explicit bf16(float x) {
    const uint32_t u = std::bit_cast<uint32_t>(x);
    const bool nan = (u & 0x7fffffffu) > 0x7f800000u;
    bits = nan ? uint16_t((u >> 16) | 0x40) : uint16_t((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
  }
  RST_HD explicit operator float() const { return std::bit_cast<float>(uint32_t(bits) << 16); }
};

struct f16 {
  uint16_t bits = 0;

  f16() = default;
  RST_HD explicit f16(float x) {
    const uint32_t u = std::bit_cast<uint32_t>(x);
    const uint32_t sign = (u >> 16) & 0x8000u;
    const uint32_t magnitude = u & 0x7fffffffu;
    uint32_t out;
    if (magnitude > 0x7f800000u) {
      out = 0x7e00u;  // nan
    } else if (magnitude >= 0x477ff000u) {
      out = 0x7c00u;  // rounds to infinity
    } else if (magnitude < 0x38800000u) {
      // Subnormal: adding 0.5 leaves the rounded value, in units of 2^-24, in the low bits of the sum.
      out = std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude) + 0.5f) - 0x3f000000u;
    } else {
      out = (magnitude - 0x38000000u + 0xfffu + ((magnitude >> 13) & 1u)) >> 13;
    }
    bits = uint16_t(sign | out);
  }
  RST_HD explicit operator float() const {
    const uint32_t sign = uint32_t(bits & 0x8000u) << 16;
    const uint32_t exponent = (bits >> 10) & 0x1fu;
    const uint32_t mantissa = bits & 0x3ffu;
    if (exponent == 0x1f) return std::bit_cast<float>(sign | 0x7f800000u | (mantissa << 13));
    if (exponent != 0) return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (mantissa << 13));
    const float magnitude = float(mantissa) * 0x1p-24f;
    return sign ? -magnitude : magnitude;
  }
};

}  // namespace rstorch
