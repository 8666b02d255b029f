#include "kernels/pool.h"

#include "ops/layout.h"
#include "ops/op.h"
#include "ops/ops.h"

namespace rstorch {
namespace {

// PyTorch's rule: with ceil_mode a window may reach over the end, but must start inside the input or the padding before
// it.
int64_t output_size(int64_t input, int64_t reach, int64_t stride, int64_t padding, bool ceil_mode) {
  const int64_t room = input + 2 * padding - reach;
  int64_t size = (room + (ceil_mode ? stride - 1 : 0)) / stride + 1;
  if (ceil_mode && (size - 1) * stride >= input + padding) --size;
  return size;
}

// True if the window of output `at` has an element of the input. One that is dilated further than the input is long may
// have all of them before and after it.
bool sees_input(int64_t at, int64_t input, int64_t kernel, int64_t stride, int64_t padding, int64_t dilation) {
  const int64_t begin = at * stride - padding;
  const int64_t tap = begin < 0 ? (-begin + dilation - 1) / dilation : 0;  // the first that is not before the input
  return tap < kernel && begin + tap * dilation < input;
}

struct PoolPlan {
  kernels::PoolGeometry geometry;
  Shape output;
};

PoolPlan plan_of(const Op& op, const Tensor& x, const Pool2dOptions& options) {
  op.require_floating("x", x);
  op.require_shape_that(x.dim() == 4,
                        format("x has shape {}, wanted [batch, channels, height, width]", x.shape().text()));
  PoolPlan plan;
  plan.geometry = {options.kernel_size, options.stride, options.padding, options.dilation, options.count_include_pad};
  plan.output = {x.shape()[0], x.shape()[1], 0, 0};
  for (size_t i = 0; i < 2; ++i) {
    int64_t& stride = plan.geometry.stride[i];
    if (stride == 0) stride = options.kernel_size[i];
    op.require(options.kernel_size[i] > 0, format("kernel_size is {}, wanted at least 1", options.kernel_size[i]));
    op.require(stride > 0, format("stride is {}, wanted at least 1", stride));
    op.require(options.dilation[i] > 0, format("dilation is {}, wanted at least 1", options.dilation[i]));
    op.require(options.padding[i] >= 0 && 2 * options.padding[i] <= options.kernel_size[i],
               format("padding is {}, wanted 0 to half of kernel_size {}", options.padding[i], options.kernel_size[i]));
    const int64_t reach = options.dilation[i] * (options.kernel_size[i] - 1) + 1;
    const int64_t input = x.shape()[int(i) + 2];
    op.require_shape_that(input + 2 * options.padding[i] >= reach,
                          format("a window of {} does not fit into x, which has shape {}", reach, x.shape().text()),
                          "use a smaller kernel_size, or more padding");
    const int64_t size = output_size(input, reach, stride, options.padding[i], options.ceil_mode);
    for (int64_t at = 0; at < size; ++at) {
      op.require_shape_that(
          sees_input(at, input, options.kernel_size[i], stride, options.padding[i], options.dilation[i]),
          format("window {} of axis {} has no element of x, which has shape {}", at, i + 2, x.shape().text()),
          "use a smaller dilation");
    }
    plan.output[int(i) + 2] = size;
  }
  return plan;
}

}  // namespace

Tensor max_pool2d(const Tensor& input, const Pool2dOptions& options) {
  const Op op("max_pool2d");
  const auto [geometry, shape] = plan_of(op, input, options);
  const Tensor x = dense(input);
  const bool small = geometry.kernel[0] * geometry.kernel[1] <= 256;
  Tensor y = empty_image(shape, x.options(), layout_of(x));
  const Tensor index = empty_image(shape, {small ? DType::u8 : DType::i32, x.device()}, layout_of(x));
  kernels::max_pool2d(op.stream(x), x.view(), geometry, y.mutable_view(), index.mutable_view());
  return op.record(y, inputs(input), saves(index),
                   [op, g = geometry, shape = x.shape(), layout = layout_of(x)](const Saved& saved, const Tensor& dy) {
                     Tensor dx = empty_image(shape, dy.options(), layout);
                     kernels::max_pool2d_backward(op.stream(dy), in_layout(dy, layout).view(), saved[0].view(), g,
                                                  dx.mutable_view());
                     return Grads{dx};
                   });
}

Tensor avg_pool2d(const Tensor& input, const Pool2dOptions& options) {
  const Op op("avg_pool2d");
  const auto [geometry, shape] = plan_of(op, input, options);
  const Tensor x = dense(input);
  Tensor y = empty_image(shape, x.options(), layout_of(x));
  kernels::avg_pool2d(op.stream(x), x.view(), geometry, y.mutable_view());
  return op.record(y, inputs(input), saves(),
                   [op, g = geometry, shape = x.shape(), layout = layout_of(x)](const Saved&, const Tensor& dy) {
                     Tensor dx = empty_image(shape, dy.options(), layout);
                     kernels::avg_pool2d_backward(op.stream(dy), in_layout(dy, layout).view(), g, dx.mutable_view());
                     return Grads{dx};
                   });
}

Tensor adaptive_avg_pool2d(const Tensor& input, const Pair& output_size) {
  const Op op("adaptive_avg_pool2d");
  op.require_floating("x", input);
  op.require_shape_that(input.dim() == 4,
                        format("x has shape {}, wanted [batch, channels, height, width]", input.shape().text()));
  op.require(output_size[0] > 0 && output_size[1] > 0,
             format("output_size is {} x {}, wanted at least 1", output_size[0], output_size[1]));
  op.require_shape_that(input.shape()[2] > 0 && input.shape()[3] > 0,
                        format("x has shape {}: no pixels", input.shape().text()));
  const Tensor x = dense(input);
  Tensor y = empty_image({x.shape()[0], x.shape()[1], output_size[0], output_size[1]}, x.options(), layout_of(x));
  kernels::adaptive_avg_pool2d(op.stream(x), x.view(), y.mutable_view());
  return op.record(
      y, inputs(input), saves(), [op, shape = x.shape(), layout = layout_of(x)](const Saved&, const Tensor& dy) {
        Tensor dx = empty_image(shape, dy.options(), layout);
        kernels::adaptive_avg_pool2d_backward(op.stream(dy), in_layout(dy, layout).view(), dx.mutable_view());
        return Grads{dx};
      });
}

}  // namespace rstorch
