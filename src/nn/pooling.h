// Pooling over images.
#pragma once

#include "nn/arguments.h"
#include "nn/layer.h"

namespace rstorch::nn {

class MaxPool2d final : public Module {
 public:
  static constexpr std::string_view kind = "MaxPool2d";
  static constexpr std::string_view help = "Largest value of each window.";
  struct Config {
    Size2 kernel_size = {};
    std::optional<Size2> stride = {};
    Size2 padding = 0;
    Size2 dilation = 1;
    bool ceil_mode = false;
    static void describe(auto& field) {
      field("kernel_size", &Config::kernel_size, "Height and width of the window.", required, pixels(1));
      field("stride", &Config::stride, "Steps between windows; kernel_size if not given.", pixels(1));
      field("padding", &Config::padding, "Rows and columns of -inf on each side.", pixels(0));
      field("dilation", &Config::dilation, "Steps between the elements of a window.", pixels(1));
      field("ceil_mode", &Config::ceil_mode, "Keep windows that hang over the border.");
    }
  };
  explicit MaxPool2d(Size2 kernel_size) : MaxPool2d(Config{kernel_size}) {}
  explicit MaxPool2d(const Config& config)
      : options_{.kernel_size = config.kernel_size,
                 .stride = config.stride.value_or(config.kernel_size),
                 .padding = config.padding,
                 .dilation = config.dilation,
                 .ceil_mode = config.ceil_mode} {}
  Tensor forward(const Tensor& x) override { return max_pool2d(x, options_); }

 private:
  Pool2dOptions options_;
};

class AvgPool2d final : public Module {
 public:
  static constexpr std::string_view kind = "AvgPool2d";
  static constexpr std::string_view help = "Mean of each window.";
  struct Config {
    Size2 kernel_size = {};
    std::optional<Size2> stride = {};
    Size2 padding = 0;
    bool ceil_mode = false;
    bool count_include_pad = true;
    static void describe(auto& field) {
      field("kernel_size", &Config::kernel_size, "Height and width of the window.", required, pixels(1));
      field("stride", &Config::stride, "Steps between windows; kernel_size if not given.", pixels(1));
      field("padding", &Config::padding, "Rows and columns of zeros on each side.", pixels(0));
      field("ceil_mode", &Config::ceil_mode, "Keep windows that hang over the border.");
      field("count_include_pad", &Config::count_include_pad, "Divide by the whole window, padding included.");
    }
  };
  explicit AvgPool2d(Size2 kernel_size) : AvgPool2d(Config{kernel_size}) {}
  explicit AvgPool2d(const Config& config)
      : options_{.kernel_size = config.kernel_size,
                 .stride = config.stride.value_or(config.kernel_size),
                 .padding = config.padding,
                 .ceil_mode = config.ceil_mode,
                 .count_include_pad = config.count_include_pad} {}
  Tensor forward(const Tensor& x) override { return avg_pool2d(x, options_); }

 private:
  Pool2dOptions options_;
};

class AdaptiveAvgPool2d final : public Module {
 public:
  static constexpr std::string_view kind = "AdaptiveAvgPool2d";
  static constexpr std::string_view help = "Means over a grid of the given size, whatever the input's.";
  struct Config {
    Size2 output_size = {};
    static void describe(auto& field) {
      field("output_size", &Config::output_size, "Height and width of the output.", required, each(positive));
    }
  };
  explicit AdaptiveAvgPool2d(Size2 output_size) : AdaptiveAvgPool2d(Config{output_size}) {}
  explicit AdaptiveAvgPool2d(const Config& config) : output_size_(config.output_size) {}
  Tensor forward(const Tensor& x) override { return adaptive_avg_pool2d(x, output_size_); }

 private:
  Size2 output_size_;
};

}  // namespace rstorch::nn
