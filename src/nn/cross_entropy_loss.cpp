#include "nn/cross_entropy_loss.h"

#include "autograd/grad_mode.h"

namespace rstorch::nn {

CrossEntropyLoss::CrossEntropyLoss(const Config& config)
    : Loss(config.reduction), config_(config), weight_(weights(config.weight)) {}

Tensor CrossEntropyLoss::reduce(const Tensor& input, const Tensor& target, Reduction reduction) const {
  return cross_entropy(input, target, cast(weight_, input.dtype()),
                       {reduction, config_.label_smoothing, config_.ignore_index});
}

Tensor CrossEntropyLoss::count(const Tensor& input, const Tensor& target) const {
  const NoGrad no_grad;
  const Tensor counts = counted(target);
  if (!weight_.defined()) return rstorch::sum(counts).to(input.dtype());
  const Tensor classes = masked_fill(target, logical_not(counts), 0).flatten();
  return rstorch::sum(index_select(cast(weight_, input.dtype()), 0, classes) * counts.flatten().to(input.dtype()));
}

}  // namespace rstorch::nn
