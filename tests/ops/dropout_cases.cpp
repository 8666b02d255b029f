#include "cases.h"
#include "ops/ops.h"

namespace rstorch::testing {
namespace {

// Philox4x32-10 written from the paper: the word of `index` in stream (key, step).
uint32_t philox_word(uint64_t key, uint64_t step, uint64_t index) {
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

uint64_t spread(uint64_t x) {  // SplitMix64
  x += 0x9E3779B97F4A7C15u;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

const RandomKey key{.seed = 7, .purpose = Purpose::dropout, .layer = 3, .step = 5, .first = 2};

Array dropout_reference(const Array& x, double p) {
  Array y(x.shape);
  const uint64_t cipher_key = spread(key.seed ^ spread(uint64_t(key.purpose) << 32 | key.layer));
  const uint64_t first = x.numel() > 0 ? key.first * uint64_t(x.numel() / x.size(0)) : 0;
  for (int64_t i = 0; i < x.numel(); ++i) {
    const double uniform = double(philox_word(cipher_key, key.step, first + uint64_t(i)) >> 8) / double(1 << 24);
    y[i] = p < 1 && uniform >= p ? x[i] / (1 - p) : 0;
  }
  return y;
}

OpCase dropout_case(double p) {
  return {.op = "dropout",
          .what = format("p {}", p),
          .inputs = {floats({5, 33}).when_empty({0, 33})},
          .run = [p](const std::vector<Tensor>& in) { return dropout(in[0], p, key); },
          .reference = [p](const std::vector<Array>& in) { return dropout_reference(in[0], p); }};
}

}  // namespace

std::vector<OpCase> dropout_cases() {
  return {dropout_case(0), dropout_case(0.25), dropout_case(0.5), dropout_case(1)};
}

}  // namespace rstorch::testing
