// The words of a random stream, many at a time.
#pragma once

#include "kernels/philox.h"

namespace rstorch::kernels {

inline constexpr int kWordsPerCall = 64;

// words[i] = word 4 * first_block + i of the stream, i < kWordsPerCall. Call it inside vectorised().
inline __attribute__((always_inline)) void random_words(const Philox& philox, uint64_t first_block, uint32_t* words) {
  for (int i = 0; i < kWordsPerCall / 4; ++i) {
    const PhiloxBlock block = philox.block(first_block + uint64_t(i));
    for (int j = 0; j < 4; ++j) words[4 * i + j] = block.words[j];
  }
}

}  // namespace rstorch::kernels
