// The default generator: what rand(), randn() and a Dropout outside a trainer draw from.
#pragma once

#include "base/random_key.h"

namespace rstorch {

// Starts the default generator of the process anew. As torch.manual_seed.
void manual_seed(uint64_t seed);
// A key that no earlier call returned since manual_seed: same seed and same order of calls, same numbers.
RandomKey next_random_key();

}  // namespace rstorch
