// The words of a random stream, many at a time.
#pragma once

#include "kernels/philox.h"

namespace rstorch::kernels {

inline constexpr int kWordsPerCall = 64;

// words[i] = word 4 * first_block + i of the stream, i < kWordsPerCall.
void random_words(const Philox& philox, uint64_t first_block, uint32_t* words);

}  // namespace rstorch::kernels
