// Conv2d: cross-correlation over images.
#pragma once

#include "nn/arguments.h"
#include "nn/init.h"
#include "nn/layer.h"

namespace rstorch::nn {

class Conv2d final : public Module {
 public:
  static constexpr std::string_view kind = "Conv2d";
  static constexpr std::string_view help = "2-D convolution of [channels, height, width].";
  struct Config {
    std::optional<int64_t> in_channels = {};
    int64_t out_channels = 0;
    Size2 kernel_size = {};
    Size2 stride = 1;
    Padding padding = 0;
    Size2 dilation = 1;
    int64_t groups = 1;
    bool bias = true;
    static void describe(auto& field) {
      field("in_channels", &Config::in_channels, "Channels of the input; inferred.", positive);
      field("out_channels", &Config::out_channels, "Channels of the output.", required, positive);
      field("kernel_size", &Config::kernel_size, "Height and width of the window.", required, pixels(1));
      field("stride", &Config::stride, "Steps between windows.", pixels(1));
      field("padding", &Config::padding, "Zeros on each side: a number, a pair, `same` or `valid`.", pixels(0));
      field("dilation", &Config::dilation, "Steps between the elements of a window.", pixels(1));
      field("groups", &Config::groups, "Parts that the channels are split into.", positive);
      field("bias", &Config::bias, "Add a bias per output channel.");
    }
    void validate(const config::Value& at, config::Report& report) const;
    void infer(Inference& input) { input.size("in_channels", in_channels, 1, "channels"); }
  };

  Conv2d(int64_t in_channels, int64_t out_channels, Size2 kernel_size)
      : Conv2d(Config{in_channels, out_channels, kernel_size}) {}
  explicit Conv2d(const Config& config);

  Tensor forward(const Tensor& x) override { return conv2d(x, weight, bias, options_); }
  Tensor forward_with(Activation activation, const Tensor& x) override {
    return activation == Activation::relu ? conv2d_relu(x, weight, bias, options_)
                                          : Module::forward_with(activation, x);
  }
  void reset_parameters() override { init::default_weight_and_bias_(weight, bias); }
  int64_t flops(const Shape& x, const Shape& y) const override;

  Tensor& weight;  // [out_channels, in_channels / groups, kernel height, kernel width]
  Tensor& bias;    // [out_channels], or undefined

 private:
  Conv2dOptions options_;
};

}  // namespace rstorch::nn
