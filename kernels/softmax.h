// Softmax over the middle dimension of contiguous [outer, size, inner]. f32, f64.
#pragma once

#include "kernels/kernel.h"

namespace rstorch::kernels {

// y = exp(x - max x) / sum exp(x - max x)
extern Kernel<ConstView /*x*/, View /*y*/> softmax;
// dx = y (dy - sum y dy)
extern Kernel<ConstView /*dy*/, ConstView /*y*/, View /*dx*/> softmax_backward;
// y = x - log sum exp x
extern Kernel<ConstView /*x*/, View /*y*/> log_softmax;
// dx = dy - exp(y) sum dy
extern Kernel<ConstView /*dy*/, ConstView /*y*/, View /*dx*/> log_softmax_backward;

}  // namespace rstorch::kernels
