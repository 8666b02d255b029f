// Philox4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3; 2011), and how the numbers
// that a RandomKey names come from it. Both compilers read this text, so a draw is the same on every device.
//
// A stream is a sequence of 32-bit words: word i is word i % 4 of block i / 4, and block b is the cipher of (b, step)
// under a key mixed from (seed, purpose, layer). Element i of a tensor uses word key.first + i (a 64-bit element the
// words 2i, 2i + 1).
#pragma once

#include "base/hd.h"
#include "base/random_key.h"

namespace rstorch::kernels {

struct PhiloxBlock {
  uint32_t words[4];
};

// The cipher itself: counter (a, b, c, d), low word first, under the key (k0, k1).
RST_HD PhiloxBlock philox4x32(uint32_t a, uint32_t b, uint32_t c, uint32_t d, uint32_t k0, uint32_t k1) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t p = uint64_t(0xD2511F53u) * a, q = uint64_t(0xCD9E8D57u) * c;
    a = uint32_t(q >> 32) ^ b ^ k0;
    b = uint32_t(q);
    c = uint32_t(p >> 32) ^ d ^ k1;
    d = uint32_t(p);
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return {{a, b, c, d}};
}

// Which number of the stream is element 0's. To be asked where the kernel runs, as Philox is to be made there.
RST_HD uint64_t first_of(const RandomKey& key) {
  return key.first + (key.place ? key.place->first_sample * key.sample_size : 0);
}

class Philox {
 public:
  RST_HD explicit Philox(const RandomKey& key)
      : key_(mix(key.seed ^ mix(uint64_t(key.purpose) << 32 | key.layer))),
        step_(key.step + (key.place ? key.place->step : 0)) {}

  RST_HD uint64_t key() const { return key_; }
  RST_HD uint64_t step() const { return step_; }
  RST_HD PhiloxBlock block(uint64_t index) const {
    return philox4x32(uint32_t(index), uint32_t(index >> 32), uint32_t(step_), uint32_t(step_ >> 32), uint32_t(key_),
                      uint32_t(key_ >> 32));
  }

 private:
  // The finaliser of SplitMix64: a bijection that spreads every bit.
  RST_HD static uint64_t mix(uint64_t x) {
    x += 0x9E3779B97F4A7C15u;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return x ^ (x >> 31);
  }

  uint64_t key_, step_;
};

// A word as a number in [0, 1) with `digits` binary digits, at most 24.
RST_HD float unit_float(uint32_t word, int digits = 24) {
  return float(word >> (32 - digits)) * (1.0f / float(1u << digits));
}
RST_HD double unit_double(uint32_t low, uint32_t high) { return double((uint64_t(high) << 32 | low) >> 11) * 0x1p-53; }

}  // namespace rstorch::kernels
