// BCEWithLogitsLoss: binary cross-entropy of sigmoid(input), stable for any input.
#pragma once

#include "nn/loss.h"

namespace rstorch::nn {

class BCEWithLogitsLoss final : public Loss {
 public:
  struct Config {
    std::vector<double> weight = {};
    std::vector<double> pos_weight = {};
    Reduction reduction = Reduction::mean;
    static void describe(auto& field) {
      field("weight", &Config::weight, "A weight per element of the last axis; empty: 1 each.", each(non_negative));
      field("pos_weight", &Config::pos_weight,
            "Weight of positive targets, per element of the last axis; empty: 1 each.", each(non_negative));
      field("reduction", &Config::reduction, "Over elements: mean or sum.", one_of("mean", "sum"));
    }
  };
  BCEWithLogitsLoss() : BCEWithLogitsLoss(Config{}) {}
  explicit BCEWithLogitsLoss(const Config& config);
  Target wanted_target() const override { return Target::binary; }
  Tensor count(const Tensor& input, const Tensor&) const override {
    return Tensor::scalar(input.numel(), input.options());
  }
  void to(Device device) override {
    if (weight_.defined()) weight_ = weight_.to(device);
    if (pos_weight_.defined()) pos_weight_ = pos_weight_.to(device);
  }

 private:
  Tensor reduce(const Tensor& input, const Tensor& target, Reduction reduction) const override;

  Tensor weight_;      // f64, or undefined
  Tensor pos_weight_;  // f64, or undefined
};

}  // namespace rstorch::nn
