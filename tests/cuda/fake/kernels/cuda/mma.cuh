// In place of kernels/cuda/mma.cuh, whose comments say who holds what: the same by plain loads, and a product for which
// the lanes of a warp show each other what they hold.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include <cuda_runtime_api.h>

#include "base/half.h"

namespace rstorch::kernels {

struct LeftFragment {
  uint32_t pairs[4];
};
struct RightFragment {
  uint32_t pairs[2];
};
struct ResultFragment {
  float values[4];
};
struct RightFragments {
  RightFragment first, second;
};

template <class T>
uint32_t pair_of(float low, float high) {
  return uint32_t(T(low).bits) | uint32_t(T(high).bits) << 16;
}

template <class T>
RightFragments load_rows(const T* data, int stride) {
  const unsigned g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
  const auto pair = [&](unsigned k) {
    const T* const at = data + g * unsigned(stride) + k + 2 * t;
    return uint32_t(at[0].bits) | uint32_t(at[1].bits) << 16;
  };
  return {{{pair(0), pair(8)}}, {{pair(16), pair(24)}}};
}
template <class T>
RightFragments load_columns(const T* data, int stride) {
  const unsigned g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
  const auto pair = [&](unsigned k, unsigned column) {
    const T* const at = data + (k + 2 * t) * unsigned(stride) + column + g;
    return uint32_t(at[0].bits) | uint32_t(at[stride].bits) << 16;
  };
  return {{{pair(0, 0), pair(8, 0)}}, {{pair(0, 8), pair(8, 8)}}};
}

template <class T>
void copy_16_bytes(T* to, const T* from, bool exists) {
  if (exists) std::memcpy(static_cast<void*>(to), from, 16);
  if (!exists) std::memset(static_cast<void*>(to), 0, 16);
}
inline void wait_for_copies() {}

template <class T>
void multiply_add(ResultFragment& y, const LeftFragment& a, const RightFragment& b) {
  struct Operands {
    LeftFragment a;
    RightFragment b;
  };
  const Operands mine{a, b};
  const auto* const words =
      static_cast<const unsigned char(*)[fake_cuda::kMostExchanged]>(fake_cuda::exchange(&mine, sizeof mine, 0));
  const auto of_lane = [&](unsigned lane) {
    Operands operands;
    std::memcpy(&operands, words[lane], sizeof operands);
    return operands;
  };
  const auto half = [](uint32_t pair, unsigned k) {
    T value;
    value.bits = uint16_t(pair >> (k % 2 * 16));
    return float(value);
  };
  const unsigned g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
  for (unsigned k = 0; k < 16; ++k) {
    const unsigned holder = k % 8 / 2, second = k / 8;
    const Operands left = of_lane(g * 4 + holder);
    for (unsigned j = 0; j < 2; ++j) {
      const float right = half(of_lane((2 * t + j) * 4 + holder).b.pairs[second], k);
      y.values[j] += half(left.a.pairs[2 * second], k) * right;
      y.values[2 + j] += half(left.a.pairs[2 * second + 1], k) * right;
    }
  }
}

inline float fast_exp(float x) { return std::exp(x); }

}  // namespace rstorch::kernels
