// Random tensors. Element i of the (contiguous) output is number key.first + i of the stream that `key` names.
#pragma once

#include "base/random_key.h"
#include "kernels/kernel.h"

namespace rstorch::kernels {

// Uniform in [low, high).
extern Kernel<RandomKey, double /*low*/, double /*high*/, View> random_uniform;
extern Kernel<RandomKey, double /*mean*/, double /*std*/, View> random_normal;
// Integers in [low, high), unbiased up to 2^-32 of the range.
extern Kernel<RandomKey, int64_t /*low*/, int64_t /*high*/, View> random_integer;

}  // namespace rstorch::kernels
