// Losses, each fused with what comes before it. f32, f64, on CUDA also bf16, f16; all operands of one dtype.
#pragma once

#include "kernels/kernel.h"
#include "kernels/options.h"

namespace rstorch::kernels {

// Softmax cross-entropy. logits [batch, classes, inner] contiguous, target i64 [batch, inner], weight [classes] or
// undefined. A target that is ignore_index gives loss 0 and no gradient; any other outside [0, classes) throws
// ArgumentError, on CUDA when the host next waits for the device.
struct CrossEntropySettings {
  Reduction reduction = Reduction::mean;
  double label_smoothing = 0;
  int64_t ignore_index = -100;
};
// loss: [batch, inner] for none, else one element. log_sum_exp [batch, inner]: kept for the gradient. divisor: one
// element, the weights of the targets summed, which the mean is divided by. These two are f32 for bf16 and f16.
extern Kernel<ConstView /*logits*/, ConstView /*target*/, ConstView /*weight*/, CrossEntropySettings, View /*loss*/,
              View /*log_sum_exp*/, View /*divisor*/>
    cross_entropy;
// dy has the shape of loss.
extern Kernel<ConstView /*dy*/, ConstView /*logits*/, ConstView /*target*/, ConstView /*weight*/, CrossEntropySettings,
              ConstView /*log_sum_exp*/, ConstView /*divisor*/, View /*dlogits*/>
    cross_entropy_backward;

// (x - target)^2; contiguous. y has one element unless the reduction is none; dy as y.
extern Kernel<ConstView /*x*/, ConstView /*target*/, Reduction, View /*y*/> mse_loss;
extern Kernel<ConstView /*dy*/, ConstView /*x*/, ConstView /*target*/, Reduction, View /*dx*/> mse_loss_backward;

// -(pos_weight t log sigmoid(x) + (1 - t) log(1 - sigmoid(x))), stable for any x. pos_weight: undefined, or of x's
// shape with any strides (0 where it was broadcast); the rest contiguous.
extern Kernel<ConstView /*x*/, ConstView /*target*/, ConstView /*pos_weight*/, Reduction, View /*y*/> bce_with_logits;
extern Kernel<ConstView /*dy*/, ConstView /*x*/, ConstView /*target*/, ConstView /*pos_weight*/, Reduction, View /*dx*/>
    bce_with_logits_backward;

}  // namespace rstorch::kernels
