// Batch and layer normalisation. f32, f64; on CUDA x, y and their gradients may be bf16 or f16, and what stands beside them
// (weights, statistics, gradients of weights) is f32 then. Sums run in an order that does not depend on the number of threads.
#pragma once

#include "kernels/kernel.h"

namespace rstorch::kernels {

// x [batch, channels, ...], contiguous or channels-last, possibly of no samples; y and gradients alike. Everything else
// is [channels]; `weight`, `bias` and their gradients may be undefined. What a batch spread over ranks has to share,
// one row in each pass, is f64 [1 + 2 channels]: how many values x has per channel, then two numbers of each channel.

// moments: the count, the means, the sums of squared distances from them.
extern Kernel<ConstView /*x*/, View /*moments*/> batch_norm_moments;
// mean and invstd = 1 / sqrt(var + eps) of each channel (biased variance) over the batches that the rows of `moments`
// [batches, 1 + 2 channels] describe. Where they are defined, running_mean = (1 - momentum) running_mean + momentum
// mean, and running_var the same with the unbiased variance; no values leave them as they are.
extern Kernel<ConstView /*moments*/, double /*eps*/, double /*momentum*/, View /*mean*/, View /*invstd*/,
              View /*running_mean*/, View /*running_var*/>
    batch_norm_statistics;
// invstd = 1 / sqrt(var + eps)
extern Kernel<ConstView /*var*/, double /*eps*/, View /*invstd*/> batch_norm_invstd;
// y = (x - mean) invstd weight + bias
extern Kernel<ConstView /*x*/, ConstView /*mean*/, ConstView /*invstd*/, ConstView /*weight*/, ConstView /*bias*/,
              View /*y*/>
    batch_norm;
// sums: the count, the sums of dy, the sums of dy (x - mean).
extern Kernel<ConstView /*dy*/, ConstView /*x*/, ConstView /*mean*/, ConstView /*invstd*/, View /*sums*/,
              View /*dweight*/, View /*dbias*/>
    batch_norm_sums;
// `sums` of the batch that the statistics are of; undefined where they came from elsewhere and dx does not pass through
// them.
extern Kernel<ConstView /*dy*/, ConstView /*x*/, ConstView /*mean*/, ConstView /*invstd*/, ConstView /*weight*/,
              ConstView /*sums*/, View /*dx*/>
    batch_norm_input_gradient;

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
