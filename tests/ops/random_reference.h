// What dropout multiplies a number by, written from the paper and from RandomKey's description.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/random_key.h"

namespace rstorch::testing {

// Philox4x32-10: the word of `index` in stream (key, step).
inline uint32_t philox_word(uint64_t key, uint64_t step, uint64_t index) {
  uint32_t c[4] = {uint32_t(index / 4), uint32_t(index / 4 >> 32), uint32_t(step), uint32_t(step >> 32)};
  uint32_t k[2] = {uint32_t(key), uint32_t(key >> 32)};
  for (int round = 0; round < 10; ++round) {
    const uint64_t first = uint64_t(0xD2511F53u) * c[0], second = uint64_t(0xCD9E8D57u) * c[2];
    const uint32_t next[4] = {uint32_t(second >> 32) ^ c[1] ^ k[0], uint32_t(second),
                              uint32_t(first >> 32) ^ c[3] ^ k[1], uint32_t(first)};
    std::copy(next, next + 4, c);
    k[0] += 0x9E3779B9u;
    k[1] += 0xBB67AE85u;
  }
  return c[index % 4];
}

inline uint64_t spread(uint64_t x) {  // SplitMix64
  x += 0x9E3779B97F4A7C15u;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

// Of number `index` of the stream.
inline double dropout_factor(const RandomKey& key, double p, uint64_t index) {
  const uint64_t cipher_key = spread(key.seed ^ spread(uint64_t(key.purpose) << 32 | key.layer));
  const double uniform = double(philox_word(cipher_key, key.step, index) >> 8) / double(1 << 24);
  return p < 1 && uniform >= p ? 1 / (1 - p) : 0;
}

}  // namespace rstorch::testing
