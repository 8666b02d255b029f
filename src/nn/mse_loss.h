// MSELoss: (input - target)^2.
#pragma once

#include "nn/loss.h"

namespace rstorch::nn {

class MSELoss final : public Loss {
 public:
  struct Config {
    Reduction reduction = Reduction::mean;
    static void describe(auto& field) {
      field("reduction", &Config::reduction, "Over elements: mean or sum.", one_of("mean", "sum"));
    }
  };
  MSELoss() : MSELoss(Config{}) {}
  explicit MSELoss(const Config& config) : Loss(config.reduction) {}
  Target wanted_target() const override { return Target::numbers; }
  Tensor count(const Tensor& input, const Tensor&) const override {
    return Tensor::scalar(input.numel(), input.options());
  }

 private:
  Tensor reduce(const Tensor& input, const Tensor& target, Reduction reduction) const override {
    return mse_loss(input, target, reduction);
  }
};

}  // namespace rstorch::nn
