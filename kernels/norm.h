// Batch and layer normalisation. f32, f64. Sums run in an order that does not depend on the number of threads.
#pragma once

#include "kernels/kernel.h"

namespace rstorch::kernels {

// x [batch, channels, ...], contiguous or channels-last, y and gradients alike; everything else is [channels].
// `weight`, `bias` and their gradients may be undefined.

// mean and invstd = 1 / sqrt(var + eps) of each channel over the batch (biased variance). Where they are defined,
// running_mean = (1 - momentum) running_mean + momentum mean, and running_var the same with the unbiased variance.
extern Kernel<ConstView /*x*/, double /*eps*/, double /*momentum*/, View /*mean*/, View /*invstd*/,
              View /*running_mean*/, View /*running_var*/>
    batch_norm_statistics;
// invstd = 1 / sqrt(var + eps)
extern Kernel<ConstView /*var*/, double /*eps*/, View /*invstd*/> batch_norm_invstd;
// y = (x - mean) invstd weight + bias
extern Kernel<ConstView /*x*/, ConstView /*mean*/, ConstView /*invstd*/, ConstView /*weight*/, ConstView /*bias*/,
              View /*y*/>
    batch_norm;
// How the statistics came about: `batch` from x itself, so that dx passes through them; `fixed` from elsewhere.
enum class Statistics { batch, fixed };
// Any of dx, dweight, dbias may be undefined.
extern Kernel<ConstView /*dy*/, ConstView /*x*/, ConstView /*mean*/, ConstView /*invstd*/, ConstView /*weight*/,
              Statistics, View /*dx*/, View /*dweight*/, View /*dbias*/>
    batch_norm_backward;

// Rows of x [rows, columns], contiguous: y = (x - mean) invstd weight + bias; mean, invstd [rows]; weight, bias
// [columns] or undefined.
extern Kernel<ConstView /*x*/, ConstView /*weight*/, ConstView /*bias*/, double /*eps*/, View /*y*/, View /*mean*/,
              View /*invstd*/>
    layer_norm;
// Any of dx, dweight, dbias may be undefined.
extern Kernel<ConstView /*dy*/, ConstView /*x*/, ConstView /*weight*/, ConstView /*mean*/, ConstView /*invstd*/,
              View /*dx*/, View /*dweight*/, View /*dbias*/>
    layer_norm_backward;

}  // namespace rstorch::kernels
