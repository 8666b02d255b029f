#include "nn/loss.h"

namespace rstorch::nn {

Tensor Loss::weights(const std::vector<double>& values) {
  return values.empty() ? Tensor() : Tensor::from(values, {int64_t(values.size())});
}

Tensor Loss::target_for(const Tensor& output, const Tensor& target) const {
  if (wanted_target() == Target::classes) return target;
  const Tensor numbers = is_floating(target.dtype()) ? target : target.to(output.dtype());
  const bool same_form = numbers.shape() == output.shape() || numbers.numel() != output.numel();
  return same_form ? numbers : numbers.reshape(output.shape());
}

}  // namespace rstorch::nn
