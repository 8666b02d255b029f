#include "nn/bce_with_logits_loss.h"

namespace rstorch::nn {

BCEWithLogitsLoss::BCEWithLogitsLoss(const Config& config)
    : Loss(config.reduction), weight_(weights(config.weight)), pos_weight_(weights(config.pos_weight)) {}

Tensor BCEWithLogitsLoss::reduce(const Tensor& input, const Tensor& target, Reduction reduction) const {
  const Tensor pos_weight = cast(pos_weight_, input.dtype());
  if (!weight_.defined()) return binary_cross_entropy_with_logits(input, target, pos_weight, reduction);
  const Tensor each =
      binary_cross_entropy_with_logits(input, target, pos_weight, Reduction::none) * cast(weight_, input.dtype());
  if (reduction == Reduction::none) return each;
  return reduction == Reduction::mean ? each.mean() : each.sum();
}

}  // namespace rstorch::nn
