// Pooling on CUDA against the CPU's, in both layouts and all dtypes.
#include "kernels/pool.h"

#include <limits>

#include "compare.h"
#include "ops/layout.h"
#include "tensor/generator.h"
#include "tensor/runtime.h"

using namespace rstorch;
using namespace rstorch::testing;
using kernels::PoolGeometry;

namespace {

Tensor image(const Shape& shape, DType dtype, Device device, Layout layout) {
  return empty_image(shape, {dtype, device}, layout);
}

// Halves are computed in f32 on the CPU.
DType on_cpu(DType dtype) { return dtype == kFloat64 ? kFloat64 : kFloat32; }

// Runs f(device, dtype) -> Tensor on both devices and compares in `dtype`.
template <class F>
void compare(DType dtype, const std::string& what, const F& f) {
  const Tensor cuda = f(Device("cuda"), dtype);
  check_close(cuda, f(kCPU, on_cpu(dtype)).to(cuda.dtype()), format("{} {}", what, name_of(dtype)));
}

struct Case {
  Shape x, y;
  PoolGeometry geometry;
};

int64_t outputs(int64_t input, const PoolGeometry& g, size_t axis) {
  return (input + 2 * g.padding[axis] - g.dilation[axis] * (g.kernel[axis] - 1) - 1) / g.stride[axis] + 1;
}

Case make_case(const Shape& x, const PoolGeometry& g) {
  return {x, {x[0], x[1], outputs(x[2], g, 0), outputs(x[3], g, 1)}, g};
}

// 16 channels: whole packs of every dtype; 6: of none but f64.
const Case cases[] = {
    make_case({2, 16, 9, 11}, {.kernel = {2, 2}, .stride = {2, 2}}),
    make_case({2, 16, 9, 11}, {.kernel = {3, 3}, .stride = {2, 1}, .padding = {1, 1}}),
    make_case({3, 6, 7, 13}, {.kernel = {3, 2}, .stride = {1, 2}, .padding = {1, 0}, .count_padding = false}),
    make_case({1, 1, 40, 33}, {.kernel = {17, 17}, .stride = {3, 2}, .padding = {8, 8}}),
    // windows apart from each other, so that some inputs are in none
    make_case({2, 8, 11, 10}, {.kernel = {2, 2}, .stride = {4, 3}}),
    // the last windows reach over the end
    {{2, 8, 10, 9}, {2, 8, 5, 5}, {.kernel = {3, 2}, .stride = {2, 2}, .padding = {0, 0}, .count_padding = true}},
};
const Case dilated[] = {
    make_case({2, 16, 9, 11}, {.kernel = {3, 2}, .stride = {1, 1}, .padding = {1, 1}, .dilation = {2, 3}}),
    make_case({2, 3, 14, 11}, {.kernel = {3, 3}, .stride = {3, 2}, .padding = {1, 0}, .dilation = {2, 4}}),
};

Tensor copy_to(const Tensor& x, DType dtype, Device device, Layout layout) {
  Tensor y = image(x.shape(), dtype, device, layout);
  return y.copy_(x), y;
}

// Values that compare alike in every dtype, with ties.
Tensor coarse(const Shape& shape) { return (Tensor::randn(shape) * 4).to(kInt32).to(kFloat32); }

constexpr DType kTypes[] = {kFloat32, kFloat64, kBFloat16, kFloat16};
constexpr Layout kLayouts[] = {Layout::contiguous, Layout::channels_last};

void compare_max(const Case& c, Layout layout, DType dtype) {
  const DType index_type = c.geometry.kernel[0] * c.geometry.kernel[1] > 256 ? kInt32 : kUInt8;
  const Tensor x = coarse(c.x), dy = coarse(c.y);
  Tensor index;
  const auto forward = [&](Device device, DType type) {
    Tensor y = image(c.y, type, device, layout);
    index = image(c.y, index_type, device, layout);
    kernels::max_pool2d(current_stream(device), copy_to(x, type, device, layout).view(), c.geometry, y.mutable_view(),
                        index.mutable_view());
    return y;
  };
  compare(dtype, "max_pool2d", forward);
  compare(dtype, "index of max_pool2d", [&](Device device, DType type) { return forward(device, type), index; });
  compare(dtype, "max_pool2d_backward", [&](Device device, DType type) {
    forward(device, type);
    Tensor dx = image(c.x, type, device, layout);
    kernels::max_pool2d_backward(current_stream(device), copy_to(dy, type, device, layout).view(), index.view(),
                                 c.geometry, dx.mutable_view());
    return dx;
  });
}

// Forward and backward of an average: kernel(stream, x, y) and backward(stream, dy, dx).
template <class Forward, class Backward>
void compare_average(const std::string& name, const Shape& x_shape, const Shape& y_shape, Layout layout, DType dtype,
                     const Forward& forward, const Backward& backward) {
  const Tensor x = coarse(x_shape), dy = coarse(y_shape);
  compare(dtype, name, [&](Device device, DType type) {
    Tensor y = image(y_shape, type, device, layout);
    forward(current_stream(device), copy_to(x, type, device, layout).view(), y.mutable_view());
    return y;
  });
  compare(dtype, name + " backward", [&](Device device, DType type) {
    Tensor dx = image(x_shape, type, device, layout);
    backward(current_stream(device), copy_to(dy, type, device, layout).view(), dx.mutable_view());
    return dx;
  });
}

}  // namespace

TEST_CASE("max pooling on cuda and cpu") {
  manual_seed(2);
  for (const Layout layout : kLayouts) {
    for (const DType dtype : kTypes) {
      for (const Case& c : cases) compare_max(c, layout, dtype);
      for (const Case& c : dilated) compare_max(c, layout, dtype);
    }
  }
}

TEST_CASE("average pooling on cuda and cpu") {
  manual_seed(3);
  for (const Layout layout : kLayouts) {
    for (const DType dtype : kTypes) {
      for (const Case& c : cases) {
        compare_average(
            "avg_pool2d", c.x, c.y, layout, dtype,
            [&](Stream& stream, ConstView x, View y) { kernels::avg_pool2d(stream, x, c.geometry, y); },
            [&](Stream& stream, ConstView dy, View dx) { kernels::avg_pool2d_backward(stream, dy, c.geometry, dx); });
      }
    }
  }
}

TEST_CASE("adaptive average pooling on cuda and cpu, to fewer, as many and more pixels") {
  manual_seed(4);
  for (const Layout layout : kLayouts) {
    for (const DType dtype : kTypes) {
      for (const auto& [h, w] : {std::pair<int64_t, int64_t>{1, 1}, {1, 4}, {3, 5}, {7, 10}, {10, 13}}) {
        compare_average(
            "adaptive_avg_pool2d", {2, 16, 7, 10}, {2, 16, h, w}, layout, dtype,
            [&](Stream& stream, ConstView x, View y) { kernels::adaptive_avg_pool2d(stream, x, y); },
            [&](Stream& stream, ConstView dy, View dx) { kernels::adaptive_avg_pool2d_backward(stream, dy, dx); });
      }
    }
  }
}

TEST_CASE("max pooling of nan and minus infinity on cuda and cpu") {
  const double nan = std::numeric_limits<double>::quiet_NaN(), least = -std::numeric_limits<double>::infinity();
  const Tensor x =
      Tensor::from(std::vector<double>{1, nan, 5, 2, nan, 9, least, least, 3, 3, least, least}, {1, 1, 3, 4});
  for (const DType dtype : kTypes) {
    for (const auto& [padding, stride] : {std::pair<int64_t, int64_t>{0, 1}, {1, 2}}) {
      const PoolGeometry g = {.kernel = {2, 2}, .stride = {stride, stride}, .padding = {padding, padding}};
      const Shape shape = make_case(x.shape(), g).y;
      Tensor index;
      const auto forward = [&](Device device, DType type) {
        Tensor y = image(shape, type, device, Layout::contiguous);
        index = image(shape, kUInt8, device, Layout::contiguous);
        kernels::max_pool2d(current_stream(device), x.to(type).to(device).view(), g, y.mutable_view(),
                            index.mutable_view());
        return y;
      };
      compare(dtype, "special values", forward);
      compare(dtype, "their index", [&](Device device, DType type) { return forward(device, type), index; });
    }
  }
}
