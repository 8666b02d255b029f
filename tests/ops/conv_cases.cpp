#include "cases.h"
#include "ops/ops.h"

namespace rstorch::testing {
namespace {

// The definition, one product at a time.
Array convolution(const Array& x, const Array& w, const Array* bias, const Conv2dOptions& o) {
  const Pair after = o.padding_end.value_or(o.padding);
  const auto size = [&](size_t axis) {
    const int64_t reach = o.dilation[axis] * (w.size(int(axis) + 2) - 1) + 1;
    return (x.size(int(axis) + 2) + o.padding[axis] + after[axis] - reach) / o.stride[axis] + 1;
  };
  Array y({x.size(0), w.size(0), size(0), size(1)});
  const int64_t channels = w.size(1);
  for (int64_t n = 0; n < y.size(0); ++n) {
    for (int64_t c = 0; c < y.size(1); ++c) {
      const int64_t first = c / (y.size(1) / o.groups) * channels;
      for (int64_t oy = 0; oy < y.size(2); ++oy) {
        for (int64_t ox = 0; ox < y.size(3); ++ox) {
          double sum = bias ? (*bias)[c] : 0;
          for (int64_t i = 0; i < channels; ++i) {
            for (int64_t ky = 0; ky < w.size(2); ++ky) {
              for (int64_t kx = 0; kx < w.size(3); ++kx) {
                const int64_t iy = oy * o.stride[0] - o.padding[0] + ky * o.dilation[0];
                const int64_t ix = ox * o.stride[1] - o.padding[1] + kx * o.dilation[1];
                const bool inside = iy >= 0 && ix >= 0 && iy < x.size(2) && ix < x.size(3);
                if (inside) sum += x(n, first + i, iy, ix) * w(c, i, ky, kx);
              }
            }
          }
          y(n, c, oy, ox) = sum;
        }
      }
    }
  }
  return y;
}

Input large(Input input, const Shape& shape) { return input.when_large(shape); }

OpCase conv_case(const std::string& what, std::vector<Input> inputs, const Conv2dOptions& options = {}) {
  return {.op = "conv2d",
          .what = what,
          .inputs = std::move(inputs),
          .run = [=](const std::vector<Tensor>& in) { return conv2d(in[0], in[1], in[2], options); },
          .reference =
              [=](const std::vector<Array>& in) {
                return convolution(in[0], in[1], in[2].values.empty() ? nullptr : &in[2], options);
              },
          // oneDNN, which computes the weight gradients of groups, cuts the sum over images by the number of threads.
          .same_bits_for_any_threads = options.groups == 1,
          .f32 = {1e-5, 2e-5},
          .flops = 2.0 * 64 * 24 * 24 * 64 * 32 * 9};
}

OpCase relu_case(const std::string& what, std::vector<Input> inputs, const Conv2dOptions& options = {}) {
  OpCase out = conv_case(what, std::move(inputs), options);
  out.op = "conv2d_relu";
  out.run = [=](const std::vector<Tensor>& in) { return conv2d_relu(in[0], in[1], in[2], options); };
  out.reference = [convolve = out.reference](const std::vector<Array>& in) {
    return elementwise(convolve(in), [](double y) { return y < 0 ? 0 : y; });
  };
  return out;
}

// nan stays: a network that diverges must not look healthy behind its ReLU.
OpCase not_differentiable(OpCase op_case) {
  op_case.differentiable = false;
  return op_case;
}

OpCase two_in_a_row() {
  return {.op = "conv2d",
          .what = "of a channels-last image",
          .inputs = {floats({2, 3, 6, 5}), floats({4, 3, 3, 3}), floats({4})},
          .run = [](const std::vector<Tensor>& in) { return conv2d(channels_last(in[0]), in[1], in[2]); },
          .reference = [](const std::vector<Array>& in) { return convolution(in[0], in[1], &in[2], {}); },
          .f32 = {1e-5, 2e-5}};
}

}  // namespace

std::vector<OpCase> conv_cases() {
  return {
      conv_case("", {large(floats({2, 3, 6, 5}), {64, 32, 26, 26}), large(floats({4, 3, 3, 3}), {64, 32, 3, 3}),
                     large(floats({4}), {64})}),
      conv_case("no bias", {floats({2, 2, 5, 6}), floats({3, 2, 3, 3}), absent()}),
      conv_case("one channel", {floats({3, 1, 7, 7}), floats({8, 1, 3, 3}), floats({8})}, {.padding = {1, 1}}),
      conv_case("stride and rows left over", {floats({2, 2, 8, 7}), floats({9, 2, 3, 2}), floats({9})},
                {.stride = {2, 3}}),
      conv_case("padding", {floats({2, 8, 5, 6}), floats({16, 8, 3, 3}), floats({16})}, {.padding = {1, 2}}),
      conv_case("more padding at the end", {floats({1, 2, 5, 6}), floats({3, 2, 4, 2}), absent()},
                {.padding = {1, 0}, .padding_end = Pair{2, 1}}),
      conv_case("dilation", {floats({2, 2, 8, 7}), floats({3, 2, 3, 3}), floats({3})},
                {.padding = {2, 1}, .dilation = {2, 1}}),
      conv_case("groups", {floats({2, 4, 5, 5}), floats({6, 2, 3, 3}), floats({6})}, {.groups = 2}),
      conv_case("depthwise", {floats({2, 3, 5, 5}), floats({6, 1, 3, 3}), floats({6})},
                {.padding = {1, 1}, .groups = 3}),
      conv_case("1 x 1", {floats({2, 5, 4, 4}), floats({7, 5, 1, 1}), floats({7})}, {.stride = {2, 2}}),
      conv_case("one pixel", {floats({2, 3, 3, 3}), floats({4, 3, 3, 3}), floats({4})}),
      conv_case("everything", {floats({2, 4, 9, 8}), floats({4, 2, 3, 2}), floats({4})},
                {.stride = {2, 3}, .padding = {2, 1}, .dilation = {2, 1}, .groups = 2}),
      conv_case("no images", {floats({2, 3, 6, 5}).when_empty({0, 3, 6, 5}),
                              floats({4, 3, 3, 3}).when_empty({4, 3, 3, 3}), floats({4}).when_empty({4})}),
      two_in_a_row(),
      relu_case("", {large(floats({2, 3, 6, 5}), {64, 8, 28, 28}), large(floats({9, 3, 3, 3}), {16, 8, 3, 3}),
                     large(floats({9}), {16})}),
      relu_case("no images", {floats({2, 3, 6, 5}).when_empty({0, 3, 6, 5}), floats({4, 3, 3, 3}), floats({4})}),
      relu_case("no bias, padding", {floats({2, 2, 5, 6}), floats({3, 2, 3, 3}), absent()}, {.padding = {1, 1}}),
      not_differentiable(relu_case("nan", {floats({2, 8, 5, 6}).with_nan(), floats({16, 8, 3, 3}), floats({16})},
                                   {.padding = {1, 1}})),
      not_differentiable(
          relu_case("nan, one channel", {floats({1, 1, 5, 6}).with_nan(), floats({3, 1, 3, 3}), absent()})),
  };
}

}  // namespace rstorch::testing
