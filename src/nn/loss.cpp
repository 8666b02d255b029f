#include "nn/loss.h"

namespace rstorch::nn {

Tensor Loss::weights(const std::vector<double>& values) {
  return values.empty() ? Tensor() : Tensor::from(values, {int64_t(values.size())});
}

}  // namespace rstorch::nn
