// The default generator: what rand(), randn() and a Dropout outside a trainer draw from.
#pragma once

#include "base/random_key.h"
#include "tensor/tensor.h"

namespace rstorch {

// Starts the default generator of the process anew. As torch.manual_seed.
void manual_seed(uint64_t seed);
// A key that no earlier call returned since manual_seed: same seed and same order of calls, same numbers.
RandomKey next_random_key();

// Fill a contiguous floating tensor in place, not recorded: element i is number key.first + i of the stream of `key`.
void fill_uniform(const Tensor& x, const RandomKey& key, double low, double high);  // [low, high)
void fill_normal(const Tensor& x, const RandomKey& key, double mean, double std);

}  // namespace rstorch
