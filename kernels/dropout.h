// Dropout. Linear in x with a mask that only the key decides, so the backward pass is the same kernel on dy.
#pragma once

#include "base/random_key.h"
#include "kernels/kernel.h"

namespace rstorch::kernels {

// y[i] = x[i] / (1 - p) where the uniform number key.first + i of the stream is at least p, else 0. x, y contiguous;
// f32, f64; on CUDA also bf16 and f16.
extern Kernel<ConstView /*x*/, double /*p*/, RandomKey, View /*y*/> dropout;

}  // namespace rstorch::kernels
