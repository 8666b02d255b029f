#include "kernels/cpu/random_words.h"

#include "kernels/cpu/simd.h"

#ifdef __x86_64__
#include <immintrin.h>
#endif

namespace rstorch::kernels {
namespace {

constexpr int kBlocks = kWordsPerCall / 4;

void words_by_block(const Philox& philox, uint64_t first_block, uint32_t* words) {
  for (int i = 0; i < kBlocks; ++i) {
    const PhiloxBlock block = philox.block(first_block + uint64_t(i));
    for (int j = 0; j < 4; ++j) words[4 * i + j] = block.words[j];
  }
}

#ifdef __x86_64__
// Four blocks side by side, each word in the lower half of a 64-bit lane: the multiplication reads that half only, so
// what gathers in the upper halves needs no masking. The compiler's own vectorisation of the cipher shuffles five times
// as much.
[[gnu::target("avx2"), maybe_unused]] void words_avx2(const Philox& philox, uint64_t first_block, uint32_t* words) {
  const __m256i m0 = _mm256_set1_epi64x(0xD2511F53), m1 = _mm256_set1_epi64x(0xCD9E8D57);
  for (int i = 0; i < kBlocks; i += 4) {
    const __m256i index = _mm256_add_epi64(_mm256_set1_epi64x(int64_t(first_block) + i), _mm256_set_epi64x(3, 2, 1, 0));
    __m256i a = index, b = _mm256_srli_epi64(index, 32);
    __m256i c = _mm256_set1_epi64x(int64_t(philox.step())), d = _mm256_set1_epi64x(int64_t(philox.step() >> 32));
    uint32_t k0 = uint32_t(philox.key()), k1 = uint32_t(philox.key() >> 32);
    for (int round = 0; round < 10; ++round) {
      const __m256i p = _mm256_mul_epu32(a, m0), q = _mm256_mul_epu32(c, m1);
      a = _mm256_xor_si256(_mm256_xor_si256(_mm256_srli_epi64(q, 32), b), _mm256_set1_epi64x(k0));
      c = _mm256_xor_si256(_mm256_xor_si256(_mm256_srli_epi64(p, 32), d), _mm256_set1_epi64x(k1));
      b = q;
      d = p;
      k0 += 0x9E3779B9u;
      k1 += 0xBB67AE85u;
    }
    const __m256i ab = _mm256_blend_epi32(a, _mm256_slli_epi64(b, 32), 0xaa);
    const __m256i cd = _mm256_blend_epi32(c, _mm256_slli_epi64(d, 32), 0xaa);
    const __m256i even = _mm256_unpacklo_epi64(ab, cd), odd = _mm256_unpackhi_epi64(ab, cd);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(words + 4 * i), _mm256_permute2x128_si256(even, odd, 0x20));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(words + 4 * i + 8), _mm256_permute2x128_si256(even, odd, 0x31));
  }
}
#endif

}  // namespace

void random_words(const Philox& philox, uint64_t first_block, uint32_t* words) {
  specialised([&]<Isa isa> {
#ifdef __x86_64__
    if constexpr (isa != Isa::baseline) return words_avx2(philox, first_block, words);
#endif
    words_by_block(philox, first_block, words);
  });
}

}  // namespace rstorch::kernels
