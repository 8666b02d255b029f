#include "nn/conv2d.h"

namespace rstorch::nn {
namespace {

Conv2dOptions options_of(const Conv2d::Config& config) {
  Conv2dOptions options{.stride = config.stride, .dilation = config.dilation, .groups = config.groups};
  if (config.padding.mode == Padding::Mode::numbers) options.padding = config.padding.size;
  if (config.padding.mode != Padding::Mode::same) return options;
  // As PyTorch: where the total is odd, the one more is after the last element.
  Pair end;
  for (size_t axis = 0; axis < 2; ++axis) {
    const int64_t total = config.dilation.hw[axis] * (config.kernel_size.hw[axis] - 1);
    options.padding[axis] = total / 2;
    end[axis] = total - total / 2;
  }
  if (end != options.padding) options.padding_end = end;
  return options;
}

// What is wrong with arguments that do not depend on the input; empty if nothing is.
std::string conflict(const Conv2d::Config& config) {
  if (config.out_channels % config.groups != 0) {
    return format("out_channels is {}, which {} groups do not divide", config.out_channels, config.groups);
  }
  if (config.padding.mode == Padding::Mode::same && config.stride.hw != Pair{1, 1}) {
    return "padding `same` is for stride 1 only";
  }
  return {};
}

Shape weight_shape(const Conv2d::Config& config) {
  const int64_t in_channels = stated(Conv2d::kind, "in_channels", config.in_channels);
  if (const std::string text = conflict(config); !text.empty()) throw ArgumentError(format("Conv2d: {}", text));
  if (in_channels % config.groups != 0) {
    throw ShapeError(
        format("Conv2d: the input has {} channels, which {} groups do not divide", in_channels, config.groups),
        "groups has to divide the channels of the input, and out_channels");
  }
  return {config.out_channels, in_channels / config.groups, config.kernel_size.hw[0], config.kernel_size.hw[1]};
}

}  // namespace

void Conv2d::Config::validate(const config::Value& at, config::Report& report) const {
  const std::string text = conflict(*this);
  if (!text.empty()) report.error(config::Code::conflict, format("Conv2d: {}", text)).at(at);
}

Conv2d::Conv2d(const Config& config)
    : weight(register_parameter("weight", weight_shape(config))),
      bias(register_parameter_if(config.bias, "bias", {config.out_channels})),
      options_(options_of(config)) {
  reset_parameters();
}

int64_t Conv2d::flops(const Shape& /*x*/, const Shape& y) const {
  return 2 * y.numel() * weight.size(1) * weight.size(2) * weight.size(3);
}

}  // namespace rstorch::nn
