// Linear: y = x W^T + b over the last axis.
#pragma once

#include "nn/arguments.h"
#include "nn/init.h"
#include "nn/layer.h"

namespace rstorch::nn {

class Linear final : public Module {
 public:
  static constexpr std::string_view kind = "Linear";
  static constexpr std::string_view help = "y = x W^T + b, over the last axis.";
  struct Config {
    std::optional<int64_t> in_features = {};
    int64_t out_features = 0;
    bool bias = true;
    static void describe(auto& field) {
      field("in_features", &Config::in_features, "Size of the last axis of the input; inferred.", positive);
      field("out_features", &Config::out_features, "Size of the last axis of the output.", required, positive);
      field("bias", &Config::bias, "Add b.");
    }
    void infer(Inference& input) { input.size("in_features", in_features, -1, "features"); }
  };

  Linear(int64_t in_features, int64_t out_features) : Linear(Config{in_features, out_features}) {}
  explicit Linear(const Config& config)
      : weight(register_parameter("weight", {config.out_features, stated(kind, "in_features", config.in_features)})),
        bias(register_parameter_if(config.bias, "bias", {config.out_features})) {
    reset_parameters();
  }

  Tensor forward(const Tensor& x) override { return linear(x, weight, bias); }
  Tensor forward_with(Activation activation, const Tensor& x) override {
    switch (activation) {
      case Activation::none:
        break;
      case Activation::relu:
        return linear_relu(x, weight, bias);
      case Activation::gelu_tanh:
        return linear_gelu_tanh(x, weight, bias);
    }
    return forward(x);
  }
  void reset_parameters() override { init::default_weight_and_bias_(weight, bias); }
  int64_t flops(const Shape& x, const Shape& y) const override { return 2 * y.numel() * x.back(); }

  Tensor& weight;  // [out_features, in_features]
  Tensor& bias;    // [out_features], or undefined
};

}  // namespace rstorch::nn
