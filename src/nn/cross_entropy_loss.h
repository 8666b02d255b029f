// CrossEntropyLoss: -log softmax(input)[target], fused.
#pragma once

#include "nn/loss.h"

namespace rstorch::nn {

class CrossEntropyLoss final : public Loss {
 public:
  struct Config {
    std::vector<double> weight = {};
    int64_t ignore_index = -100;
    Reduction reduction = Reduction::mean;
    double label_smoothing = 0;
    static void describe(auto& field) {
      field("weight", &Config::weight, "A weight per class; empty: 1 each.", each(non_negative));
      field("ignore_index", &Config::ignore_index, "Targets of this class do not count.");
      field("reduction", &Config::reduction, "Over samples: mean or sum.", one_of("mean", "sum"));
      field("label_smoothing", &Config::label_smoothing, "Part of the target that is spread over all classes.",
            in_range(0.0, 1.0));
    }
  };
  CrossEntropyLoss() : CrossEntropyLoss(Config{}) {}
  explicit CrossEntropyLoss(const Config& config);
  Target wanted_target() const override { return Target::classes; }
  Tensor counted(const Tensor& target) const override { return ne(target, config_.ignore_index); }
  Tensor count(const Tensor& input, const Tensor& target) const override;
  void to(Device device) override {
    if (weight_.defined()) weight_ = weight_.to(device);
  }

 private:
  Tensor reduce(const Tensor& input, const Tensor& target, Reduction reduction) const override;

  Config config_;
  Tensor weight_;  // f64 [classes], or undefined
};

}  // namespace rstorch::nn
