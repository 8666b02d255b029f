// Products on tensor cores: what a warp computes of 16 x 16 and 16 x 8 matrices of halves, by the PTX instructions of
// sm_80 and later. tests/cuda/fake has its own version of this file.
//
// With g = lane / 4 and t = lane % 4, a lane holds of a left operand [16, 16] the pairs (g, 2t), (g + 8, 2t), (g, 2t +
// 8), (g + 8, 2t + 8), of a right operand [16, 8] the pairs (2t, g), (2t + 8, g), down the column, and of the result
// [16, 8] the numbers (g, 2t), (g, 2t + 1), (g + 8, 2t), (g + 8, 2t + 1).
#pragma once

#include <cstdint>
#include <type_traits>

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
// Two right operands.
struct RightFragments {
  RightFragment first, second;
};

// Two numbers as halves, the first in the low bits.
template <class T>
__device__ __forceinline__ uint32_t pair_of(float low, float high) {
  uint32_t pair;
  if constexpr (std::is_same_v<T, bf16>) {
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  } else {
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  }
  return pair;
}

namespace detail {
template <class T>
__device__ __forceinline__ uint32_t shared_address(const T* data) {
  return uint32_t(__cvta_generic_to_shared(data));
}
}  // namespace detail

// Right operands from shared memory where rows are `stride` apart and begin at multiples of 16 bytes.
// The columns of the operands are rows there: those of both are the 8 rows from `data` on; k goes from 0 to 31 in each.
template <class T>
__device__ __forceinline__ RightFragments load_rows(const T* data, int stride) {
  const unsigned lane = threadIdx.x % 32;
  const uint32_t at = detail::shared_address(data + (lane % 8) * stride + lane / 8 * 8);
  RightFragments x;
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(x.first.pairs[0]), "=r"(x.first.pairs[1]), "=r"(x.second.pairs[0]), "=r"(x.second.pairs[1])
               : "r"(at)
               : "memory");
  return x;
}
// The columns of the operands are columns there, 16 neighbours: 8 of the first, 8 of the second.
template <class T>
__device__ __forceinline__ RightFragments load_columns(const T* data, int stride) {
  const unsigned lane = threadIdx.x % 32;
  const uint32_t at = detail::shared_address(data + (lane / 8 % 2 * 8 + lane % 8) * stride + lane / 16 * 8);
  RightFragments x;
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(x.first.pairs[0]), "=r"(x.first.pairs[1]), "=r"(x.second.pairs[0]), "=r"(x.second.pairs[1])
               : "r"(at)
               : "memory");
  return x;
}

// Begins to copy 16 aligned bytes into shared memory, or to write zeros there. What a thread copied, it has after
// wait_for_copies().
template <class T>
__device__ __forceinline__ void copy_16_bytes(T* to, const T* from, bool exists) {
  const int bytes = exists ? 16 : 0;
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(detail::shared_address(to)), "l"(from), "r"(bytes)
               : "memory");
}
__device__ __forceinline__ void wait_for_copies() { asm volatile("cp.async.wait_all;" ::: "memory"); }

// y += a b
template <class T>
__device__ __forceinline__ void multiply_add(ResultFragment& y, const LeftFragment& a, const RightFragment& b) {
  float* const v = y.values;
  if constexpr (std::is_same_v<T, bf16>) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, "
        "%2, "
        "%3};"
        : "+f"(v[0]), "+f"(v[1]), "+f"(v[2]), "+f"(v[3])
        : "r"(a.pairs[0]), "r"(a.pairs[1]), "r"(a.pairs[2]), "r"(a.pairs[3]), "r"(b.pairs[0]), "r"(b.pairs[1]));
  } else {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, "
        "%3};"
        : "+f"(v[0]), "+f"(v[1]), "+f"(v[2]), "+f"(v[3])
        : "r"(a.pairs[0]), "r"(a.pairs[1]), "r"(a.pairs[2]), "r"(a.pairs[3]), "r"(b.pairs[0]), "r"(b.pairs[1]));
  }
}

// To about 2^-21 of the result; enough for halves.
__device__ __forceinline__ float fast_exp(float x) { return __expf(x); }

}  // namespace rstorch::kernels
