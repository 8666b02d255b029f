#include "kernels/conv.h"

#include "kernels/elementwise.h"
#include "ops/autocast.h"
#include "ops/layout.h"
#include "ops/op.h"
#include "ops/ops.h"

namespace rstorch {
namespace {

struct ConvPlan {
  kernels::ConvGeometry geometry;
  Shape output;
};

ConvPlan plan_of(const Op& op, const Tensor& x, const Tensor& weight, const Tensor& bias,
                 const Conv2dOptions& options) {
  op.require_floating("x", x);
  op.require_same_device("x", x, "weight", weight);
  op.require_dtype("weight", weight, x.dtype());
  op.require_shape_that(x.dim() == 4,
                        format("x has shape {}, wanted [batch, channels, height, width]", x.shape().text()));
  op.require_dims("weight", weight, 4);
  op.require_shape_that(weight.shape()[0] > 0,
                        format("weight has shape {}: no output channels", weight.shape().text()));
  op.require(options.groups > 0 && weight.shape()[0] % options.groups == 0,
             format("{} output channels in {} groups", weight.shape()[0], options.groups),
             "out_channels must be a multiple of groups");
  op.require_shape_that(
      x.shape()[1] == weight.shape()[1] * options.groups,
      format("x has shape {}, weight {} with {} groups", x.shape().text(), weight.shape().text(), options.groups),
      format("x must have {} channels", weight.shape()[1] * options.groups));
  if (bias.defined()) {
    op.require_shape("bias", bias, {weight.shape()[0]});
    op.require_dtype("bias", bias, x.dtype());
    op.require_same_device("x", x, "bias", bias);
  }
  ConvPlan plan{{options.stride, options.padding, options.dilation, options.groups}, {x.shape()[0], weight.shape()[0]}};
  const Pair after = options.padding_end.value_or(options.padding);
  for (size_t i = 0; i < 2; ++i) {
    const int64_t taps = weight.shape()[int(i) + 2], size = x.shape()[int(i) + 2];
    op.require(options.stride[i] > 0, format("stride is {}, wanted at least 1", options.stride[i]));
    op.require(options.dilation[i] > 0, format("dilation is {}, wanted at least 1", options.dilation[i]));
    op.require(options.padding[i] >= 0 && after[i] >= 0,
               format("padding is {}, wanted at least 0", options.padding[i]));
    op.require_shape_that(taps > 0, format("weight has shape {}: an empty kernel", weight.shape().text()));
    const int64_t reach = options.dilation[i] * (taps - 1) + 1, padded = size + options.padding[i] + after[i];
    const int64_t padding = options.padding[i] + after[i];
    op.require_shape_that(padded >= reach,
                          format("a kernel that reaches over {} does not fit into x of shape {}{}", reach,
                                 x.shape().text(), padding > 0 ? format(" and a padding of {} in all", padding) : ""),
                          "use a smaller kernel_size or dilation, or more padding");
    plan.output.push_back((padded - reach) / options.stride[i] + 1);
  }
  return plan;
}

// All elements of a tensor without gaps, in the order of memory.
template <class V>
V flat(V view) {
  view.shape = {view.numel()};
  view.strides = {1};
  return view;
}

Tensor convolve(const Op& op, const Tensor& given_input, const Tensor& given_weight, const Tensor& given_bias,
                const Conv2dOptions& options, Activation activation) {
  const Tensor input = in_lower_precision(given_input), weight = in_lower_precision(given_weight),
               bias = in_lower_precision(given_bias);
  const auto [geometry, shape] = plan_of(op, input, weight, bias, options);
  const Tensor x = dense(input), w = contiguous(weight), b = bias.defined() ? contiguous(bias) : bias;
  Tensor y = empty_image(shape, x.options(), Layout::channels_last);
  kernels::conv2d(op.stream(x), x.view(), w.view(), b.view(), geometry, activation, y.mutable_view());
  const Tensor kept = activation == Activation::none ? Tensor() : y;
  return op.record(
      y, inputs(input, weight, bias), saves(x, w, kept),
      [op, g = geometry](const Saved& saved, const Tensor& gradient) {
        const Tensor &x = saved[0], &w = saved[1], &y = saved[2];
        Stream& stream = op.stream(x);
        Tensor dy = in_layout(gradient, Layout::channels_last);
        if (y.defined()) {
          const Tensor dz = empty_image(dy.shape(), dy.options(), Layout::channels_last);
          kernels::Unary<kernels::Relu>::backward(stream, {}, flat(y.view()), flat(dy.view()), flat(dz.mutable_view()));
          dy = dz;
        }
        Tensor dx, dw, dbias;
        if (saved.needs(0)) {
          dx = empty_with_layout_of(x);
          kernels::conv2d_backward_data(stream, dy.view(), w.view(), g, dx.mutable_view());
        }
        if (saved.needs(1) || saved.needs(2)) {
          dw = saved.empty_grad(1, w.shape(), w.dtype(), w.device());
          if (saved.needs(2)) dbias = saved.empty_grad(2, {w.shape()[0]}, w.dtype(), w.device());
          kernels::conv2d_backward_weights(stream, x.view(), dy.view(), g, dw.mutable_view(), dbias.mutable_view());
        }
        return Grads{dx, dw, dbias};
      });
}

}  // namespace

Tensor conv2d(const Tensor& x, const Tensor& weight, const Tensor& bias, const Conv2dOptions& options) {
  return convolve(Op("conv2d"), x, weight, bias, options, Activation::none);
}

Tensor conv2d_relu(const Tensor& x, const Tensor& weight, const Tensor& bias, const Conv2dOptions& options) {
  return convolve(Op("conv2d_relu"), x, weight, bias, options, Activation::relu);
}

}  // namespace rstorch
