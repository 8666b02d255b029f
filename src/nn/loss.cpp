#include "nn/loss.h"

namespace rstorch::nn {

Tensor Loss::weights(const std::vector<double>& values) {
  return values.empty() ? Tensor() : Tensor::from(values, {int64_t(values.size())});
}

Tensor Loss::weights_like(const Tensor& weights, const Tensor& x) {
  return weights.defined() ? weights.to(x.device()).to(x.dtype()) : weights;
}

}  // namespace rstorch::nn
