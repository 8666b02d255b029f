// Reductions. x and y have the same number of dimensions; where x is reduced, y has size 1. x may have any strides, y is
// contiguous.
//
// Every result is the same to the bit for any number of threads: a reduction is cut by sizes alone and its parts are
// combined in a fixed order. Sums of f32 go into doubles after blocks of about a thousand elements.
#pragma once

#include "kernels/kernel.h"

namespace rstorch::kernels {

// x and y floating, of one dtype; or y i64 and x integer or bool.
extern Kernel<ConstView /*x*/, View /*y*/> sum;
extern Kernel<ConstView /*x*/, View /*y*/> prod;
// Floating, of one dtype.
extern Kernel<ConstView /*x*/, View /*y*/> mean;
// y = sum (x - mean)^2 / max(count - correction, 0), in two passes. Floating, of one dtype.
extern Kernel<ConstView /*x*/, int64_t /*correction*/, View /*y*/> var;
// The largest and smallest element; nan if there is one. Not for empty reductions. Any dtype, the same for x and y.
extern Kernel<ConstView /*x*/, View /*y*/> amax;
extern Kernel<ConstView /*x*/, View /*y*/> amin;
// Over one dimension, `dim`: the largest (smallest) element and the index of the first one that is; nan is larger
// (smaller) than all. `values` has x's dtype, `indices` is i64; both have size 1 along dim.
extern Kernel<ConstView /*x*/, int /*dim*/, View /*values*/, View /*indices*/> max_index;
extern Kernel<ConstView /*x*/, int /*dim*/, View /*values*/, View /*indices*/> min_index;

}  // namespace rstorch::kernels
