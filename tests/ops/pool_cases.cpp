#include <algorithm>
#include <cmath>
#include <limits>

#include "cases.h"
#include "ops/ops.h"

namespace rstorch::testing {
namespace {

int64_t pooled(int64_t size, size_t axis, const Pool2dOptions& o) {
  const int64_t stride = o.stride[axis] ? o.stride[axis] : o.kernel_size[axis];
  const double room =
      double(size + 2 * o.padding[axis] - o.dilation[axis] * (o.kernel_size[axis] - 1) - 1) / double(stride);
  const auto count = int64_t(o.ceil_mode ? std::ceil(room) : std::floor(room)) + 1;
  const bool starts_outside = o.ceil_mode && (count - 1) * stride >= size + o.padding[axis];
  return starts_outside ? count - 1 : count;
}

// Calls visit(y index, row, column) for every position of every window, also those in the padding.
template <class Visit>
Array for_windows(const Array& x, const Pool2dOptions& o, double start, Visit visit) {
  Array y({x.size(0), x.size(1), pooled(x.size(2), 0, o), pooled(x.size(3), 1, o)});
  std::fill(y.values.begin(), y.values.end(), start);
  for (int64_t n = 0; n < y.size(0); ++n) {
    for (int64_t c = 0; c < y.size(1); ++c) {
      for (int64_t oy = 0; oy < y.size(2); ++oy) {
        for (int64_t ox = 0; ox < y.size(3); ++ox) {
          const int64_t row = oy * (o.stride[0] ? o.stride[0] : o.kernel_size[0]) - o.padding[0];
          const int64_t column = ox * (o.stride[1] ? o.stride[1] : o.kernel_size[1]) - o.padding[1];
          visit(y(n, c, oy, ox), n, c, row, column);
        }
      }
    }
  }
  return y;
}

bool inside(const Array& x, int64_t row, int64_t column) {
  return row >= 0 && column >= 0 && row < x.size(2) && column < x.size(3);
}

Array max_reference(const Array& x, const Pool2dOptions& o) {
  return for_windows(x, o, -std::numeric_limits<double>::infinity(),
                     [&](double& y, int64_t n, int64_t c, int64_t row, int64_t column) {
                       for (int64_t ky = 0; ky < o.kernel_size[0]; ++ky) {
                         for (int64_t kx = 0; kx < o.kernel_size[1]; ++kx) {
                           const int64_t iy = row + ky * o.dilation[0], ix = column + kx * o.dilation[1];
                           if (inside(x, iy, ix)) y = std::max(y, x(n, c, iy, ix));
                         }
                       }
                     });
}

Array average_reference(const Array& x, const Pool2dOptions& o) {
  return for_windows(x, o, 0, [&](double& y, int64_t n, int64_t c, int64_t row, int64_t column) {
    double sum = 0, padded = 0, real = 0;
    for (int64_t iy = row; iy < row + o.kernel_size[0]; ++iy) {
      for (int64_t ix = column; ix < column + o.kernel_size[1]; ++ix) {
        padded += iy < x.size(2) + o.padding[0] && ix < x.size(3) + o.padding[1];
        if (!inside(x, iy, ix)) continue;
        sum += x(n, c, iy, ix);
        ++real;
      }
    }
    y = sum / (o.count_include_pad ? padded : real);
  });
}

Array adaptive_reference(const Array& x, int64_t height, int64_t width) {
  Array y({x.size(0), x.size(1), height, width});
  for (int64_t i = 0; i < y.numel(); ++i) {
    const int64_t ox = i % width, oy = i / width % height, plane = i / width / height;
    const int64_t top = oy * x.size(2) / height, left = ox * x.size(3) / width;
    const auto bottom = int64_t(std::ceil(double((oy + 1) * x.size(2)) / double(height)));
    const auto right = int64_t(std::ceil(double((ox + 1) * x.size(3)) / double(width)));
    for (int64_t iy = top; iy < bottom; ++iy) {
      for (int64_t ix = left; ix < right; ++ix) y[i] += x[(plane * x.size(2) + iy) * x.size(3) + ix];
    }
    y[i] /= double((bottom - top) * (right - left));
  }
  return y;
}

// No two values alike, so that the largest is unique and far from the next.
Input distinct(const Shape& shape) {
  std::vector<double> values;
  for (int64_t i = 0; i < shape.numel(); ++i) values.push_back(double(i * 37 % 101) / 10 - 5);
  return floats(shape).with(values).contiguous_only().when_empty({0, shape[1], shape[2], shape[3]});
}

void add_pools(std::vector<OpCase>& out, const std::string& what, const Pool2dOptions& options) {
  for (const bool last : {false, true}) {
    const Shape shape = {1, 2, 7, 6};
    const auto laid_out = [last](const Tensor& x) { return last ? channels_last(x) : x; };
    const std::string layout = last ? ", channels-last" : "";
    out.push_back({.op = "max_pool2d",
                   .what = what + layout,
                   .inputs = {distinct(shape)},
                   .run = [=](const std::vector<Tensor>& in) { return max_pool2d(laid_out(in[0]), options); },
                   .reference = [=](const std::vector<Array>& in) { return max_reference(in[0], options); }});
    if (options.dilation != Pair{1, 1}) continue;
    out.push_back({.op = "avg_pool2d",
                   .what = what + layout,
                   .inputs = {distinct(shape)},
                   .run = [=](const std::vector<Tensor>& in) { return avg_pool2d(laid_out(in[0]), options); },
                   .reference = [=](const std::vector<Array>& in) { return average_reference(in[0], options); }});
  }
}

}  // namespace

std::vector<OpCase> pool_cases() {
  std::vector<OpCase> out;
  add_pools(out, "2 x 2", {.kernel_size = {2, 2}});
  add_pools(out, "overlapping, padded", {.kernel_size = {3, 3}, .stride = {2, 2}, .padding = {1, 1}});
  add_pools(out, "overlapping, padding not counted",
            {.kernel_size = {3, 2}, .stride = {2, 3}, .padding = {1, 0}, .count_include_pad = false});
  add_pools(out, "ceil_mode", {.kernel_size = {3, 2}, .stride = {2, 4}, .padding = {1, 1}, .ceil_mode = true});
  add_pools(out, "dilated", {.kernel_size = {2, 3}, .stride = {1, 1}, .dilation = {3, 2}});
  add_pools(out, "the whole image", {.kernel_size = {7, 6}});
  for (const Pair size : {Pair{1, 1}, Pair{3, 4}, Pair{9, 5}}) {
    for (const bool last : {false, true}) {
      out.push_back(
          {.op = "adaptive_avg_pool2d",
           .what = format("{} x {}{}", size[0], size[1], last ? ", channels-last" : ""),
           .inputs = {distinct({2, 3, 7, 6})},
           .run =
               [=](const std::vector<Tensor>& in) {
                 return adaptive_avg_pool2d(last ? channels_last(in[0]) : in[0], size);
               },
           .reference = [=](const std::vector<Array>& in) { return adaptive_reference(in[0], size[0], size[1]); }});
    }
  }
  return out;
}

}  // namespace rstorch::testing
