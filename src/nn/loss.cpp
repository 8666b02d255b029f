#include "nn/loss.h"

namespace rstorch::nn {

Tensor Loss::weights(const std::vector<double>& values) {
  return values.empty() ? Tensor() : Tensor::from(values, {int64_t(values.size())});
}

Tensor Loss::target_for(const Tensor& output, const Tensor& target) const {
  if (wanted_target() == Target::classes) return target;
  const Tensor numbers = is_floating(target.dtype()) ? target : target.to(output.dtype());
  return numbers.numel() == output.numel() ? numbers.reshape(output.shape()) : numbers;
}

}  // namespace rstorch::nn
