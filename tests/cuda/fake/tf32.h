// What tensor cores make of an f32 factor.
#pragma once

#include <bit>
#include <cstdint>

namespace fake_cuda {

// The nearest number with 10 bits of fraction; halves and doubles are left as they are.
inline float to_tf32(float x) { return std::bit_cast<float>((std::bit_cast<uint32_t>(x) + 0x1000) & ~0x1fffU); }
template <class T>
T to_tf32(T x) {
  return x;
}

}  // namespace fake_cuda
