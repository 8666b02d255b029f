#include "kernels/conv.h"

#include <algorithm>
#include <string_view>

#include "kernels/cpu/conv_weights.h"
#include "kernels/cpu/onednn.h"
#include "kernels/cpu/parallel.h"
#include "kernels/elementwise.h"
#include "kernels/reduce.h"

namespace rstorch::kernels {
namespace {

using dnnl::memory;
using dnnl::prop_kind;

// Which of the three convolutions a plan is for, the first number of its key.
enum class Role : int64_t { forward, backward_data, backward_weights };

void append(onednn::Key& key, const ConstView& view) {
  key.push_back(view.defined() ? view.dims() : -1);
  if (!view.defined()) return;
  key.insert(key.end(), view.shape.begin(), view.shape.end());
  key.insert(key.end(), view.strides.begin(), view.strides.end());
}

onednn::Key key_of(Role role, const ConvGeometry& g, std::initializer_list<ConstView> views) {
  onednn::Key key = {int64_t(role), g.stride[0],   g.stride[1],   g.padding[0],
                     g.padding[1],  g.dilation[0], g.dilation[1], g.groups};
  for (const ConstView& view : views) append(key, view);
  return key;
}

// How an image lies in memory. Where it has one channel or one pixel both names fit; then it is called channels-last,
// which is what the primitives want.
memory::desc described(const ConstView& image) {
  const int64_t channels = image.size(1), width = image.size(3);
  const Strides wanted = {image.size(2) * width * channels, 1, width * channels, channels};
  bool channels_last = true;
  for (int i = 0; i < 4; ++i) channels_last &= image.size(i) == 1 || image.strides[i] == wanted[i];
  const auto tag = channels_last ? memory::format_tag::nhwc : memory::format_tag::nchw;
  return {image.shape.vector(), memory::data_type::f32, tag};
}

// The numbers of a convolution as oneDNN wants them.
struct Problem {
  memory::desc x, w, y, bias;  // the caller's layouts
  memory::dims stride, dilation, before, after;

  Problem(const ConstView& x_view, const ConstView& w_view, const ConstView& y_view, const ConvGeometry& g)
      : x(described(x_view)),
        w(onednn::description(grouped(w_view, g.groups))),
        y(described(y_view)),
        bias({y_view.size(1)}, memory::data_type::f32, memory::format_tag::a) {
    for (int i = 0; i < 2; ++i) {
      const size_t d = size_t(i);
      stride.push_back(g.stride[d]);
      dilation.push_back(g.dilation[d] - 1);
      before.push_back(g.padding[d]);
      const int64_t reach = (y_view.size(i + 2) - 1) * g.stride[d] + (w_view.size(i + 2) - 1) * g.dilation[d] + 1;
      after.push_back(reach - x_view.size(i + 2) - g.padding[d]);
    }
  }

  static ConstView grouped(ConstView w, int64_t groups) {
    if (groups == 1) return w;
    w.shape[0] /= groups;
    w.shape.insert(0, groups);
    w.strides.insert(0, w.strides[0] * w.shape[1]);
    return w;
  }
};

// How a primitive computes, and the layout of its images.
struct Method {
  dnnl::algorithm algorithm;
  memory::format_tag images;
};
constexpr Method kLibrarysChoice = {dnnl::algorithm::convolution_auto, memory::format_tag::any};
constexpr Method kDirect = {dnnl::algorithm::convolution_direct, memory::format_tag::nhwc};

// Winograd's algorithm where the library has it for this machine and shape: it saves far more than the reorders into
// its own layout cost. Else the direct one on channels-last images, which the tensors of this library are.
template <class Describe>
auto best(const Describe& describe) {
  auto chosen = describe(kLibrarysChoice);
  const bool winograd = std::string_view(chosen.impl_info_str()).find("wino") != std::string_view::npos;
  return winograd ? chosen : describe(kDirect);
}

// The same tensor in the layout of a primitive.
memory::desc in_layout(const memory::desc& given, memory::format_tag layout) {
  return {given.dims(), memory::data_type::f32, layout};
}
memory::desc any(const memory::desc& given) { return in_layout(given, memory::format_tag::any); }

dnnl::convolution_forward::primitive_desc forward_description(const Problem& p, const Method& method, bool with_bias) {
  const dnnl::convolution_forward::desc description(
      prop_kind::forward_training, method.algorithm, in_layout(p.x, method.images), any(p.w),
      with_bias ? p.bias : memory::desc(), in_layout(p.y, method.images), p.stride, p.dilation, p.before, p.after);
  return {description, onednn::attributes(), onednn::engine()};
}

onednn::Plan plan_forward(const Problem& p, bool with_bias) {
  const auto pd = best([&](const Method& method) { return forward_description(p, method, with_bias); });
  std::vector<onednn::Plan::Argument> arguments = {{DNNL_ARG_SRC, p.x, pd.src_desc(), false},
                                                   {DNNL_ARG_WEIGHTS, p.w, pd.weights_desc(), false},
                                                   {DNNL_ARG_DST, p.y, pd.dst_desc(), true}};
  if (with_bias) arguments.push_back({DNNL_ARG_BIAS, p.bias, pd.bias_desc(), false});
  return {dnnl::convolution_forward(pd), pd.scratchpad_desc(), std::move(arguments)};
}

onednn::Plan plan_backward_data(const Problem& p) {
  using dnnl::convolution_backward_data;
  const auto pd = best([&](const Method& method) {
    const convolution_backward_data::desc description(method.algorithm, in_layout(p.x, method.images), any(p.w),
                                                      in_layout(p.y, method.images), p.stride, p.dilation, p.before,
                                                      p.after);
    return convolution_backward_data::primitive_desc(description, onednn::attributes(), onednn::engine(),
                                                     forward_description(p, method, false));
  });
  return {convolution_backward_data(pd),
          pd.scratchpad_desc(),
          {{DNNL_ARG_DIFF_DST, p.y, pd.diff_dst_desc(), false},
           {DNNL_ARG_WEIGHTS, p.w, pd.weights_desc(), false},
           {DNNL_ARG_DIFF_SRC, p.x, pd.diff_src_desc(), true}}};
}

onednn::Plan plan_backward_weights(const Problem& p, bool with_bias) {
  using dnnl::convolution_backward_weights;
  const auto pd = best([&](const Method& method) {
    const convolution_backward_weights::desc description(
        method.algorithm, in_layout(p.x, method.images), any(p.w), with_bias ? p.bias : memory::desc(),
        in_layout(p.y, method.images), p.stride, p.dilation, p.before, p.after);
    return convolution_backward_weights::primitive_desc(description, onednn::attributes(), onednn::engine(),
                                                        forward_description(p, method, with_bias));
  });
  std::vector<onednn::Plan::Argument> arguments = {{DNNL_ARG_SRC, p.x, pd.src_desc(), false},
                                                   {DNNL_ARG_DIFF_DST, p.y, pd.diff_dst_desc(), false},
                                                   {DNNL_ARG_DIFF_WEIGHTS, p.w, pd.diff_weights_desc(), true}};
  if (with_bias) arguments.push_back({DNNL_ARG_DIFF_BIAS, p.bias, pd.diff_bias_desc(), true});
  return {convolution_backward_weights(pd), pd.scratchpad_desc(), std::move(arguments)};
}

// --- f64: plain loops, for checking gradients ---------------------------------------------------------------------

struct Direct {
  ConstView x, w, y;
  ConvGeometry g;

  // Multiply-adds, most of them.
  int64_t cost() const { return y.numel() * w.numel() / w.size(0); }

  // Calls f(x offset, w offset, y offset) for every product that adds to channel `o` of image `n`.
  template <class F>
  void for_each_product(int64_t n, int64_t o, const F& f) const {
    const int64_t inputs = w.size(1), group = o / (y.size(1) / g.groups);
    for (int64_t i = 0; i < inputs; ++i) {
      for (int64_t ky = 0; ky < w.size(2); ++ky) {
        for (int64_t kx = 0; kx < w.size(3); ++kx) {
          const int64_t at_w = o * w.strides[0] + i * w.strides[1] + ky * w.strides[2] + kx * w.strides[3];
          for (int64_t oy = 0; oy < y.size(2); ++oy) {
            const int64_t iy = oy * g.stride[0] - g.padding[0] + ky * g.dilation[0];
            if (iy < 0 || iy >= x.size(2)) continue;
            for (int64_t ox = 0; ox < y.size(3); ++ox) {
              const int64_t ix = ox * g.stride[1] - g.padding[1] + kx * g.dilation[1];
              if (ix < 0 || ix >= x.size(3)) continue;
              const int64_t channel = group * inputs + i;
              f(n * x.strides[0] + channel * x.strides[1] + iy * x.strides[2] + ix * x.strides[3], at_w,
                n * y.strides[0] + o * y.strides[1] + oy * y.strides[2] + ox * y.strides[3]);
            }
          }
        }
      }
    }
  }
};

// Calls f(element) for every element of one channel of one image.
template <class F>
void for_each_pixel(const ConstView& image, int64_t n, int64_t c, const F& f) {
  for (int64_t row = 0; row < image.size(2); ++row) {
    for (int64_t column = 0; column < image.size(3); ++column) {
      f(n * image.strides[0] + c * image.strides[1] + row * image.strides[2] + column * image.strides[3]);
    }
  }
}

void forward_f64(const Direct& c, const double* bias, Activation activation, double* y) {
  parallel_tasks(c.y.size(0) * c.y.size(1), c.cost() / (c.y.size(0) * c.y.size(1)), [&](int64_t begin, int64_t end) {
    for (int64_t plane = begin; plane < end; ++plane) {
      const int64_t n = plane / c.y.size(1), o = plane % c.y.size(1);
      for_each_pixel(c.y, n, o, [&](int64_t at) { y[at] = bias ? bias[o] : 0; });
      c.for_each_product(n, o, [&](int64_t at_x, int64_t at_w, int64_t at_y) {
        y[at_y] += c.x.as<double>()[at_x] * c.w.as<double>()[at_w];
      });
      if (activation == Activation::relu) for_each_pixel(c.y, n, o, [&](int64_t at) { y[at] = Relu::value(y[at]); });
    }
  });
}

void backward_data_f64(const Direct& c, double* dx) {
  parallel_tasks(c.x.size(0), c.cost() / c.x.size(0), [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) {
      for (int64_t i = 0; i < c.x.size(1); ++i) for_each_pixel(c.x, n, i, [&](int64_t at) { dx[at] = 0; });
      for (int64_t o = 0; o < c.y.size(1); ++o) {
        c.for_each_product(n, o, [&](int64_t at_x, int64_t at_w, int64_t at_y) {
          dx[at_x] += c.y.as<double>()[at_y] * c.w.as<double>()[at_w];
        });
      }
    }
  });
}

void backward_weights_f64(const Direct& c, double* dw, double* dbias) {
  const int64_t each = c.w.numel() / std::max<int64_t>(c.y.size(1), 1);
  parallel_tasks(c.y.size(1), c.cost() / c.y.size(1), [&](int64_t begin, int64_t end) {
    for (int64_t o = begin; o < end; ++o) {
      std::fill_n(dw + o * each, each, 0.0);
      if (dbias) dbias[o] = 0;
      for (int64_t n = 0; n < c.y.size(0); ++n) {
        c.for_each_product(n, o, [&](int64_t at_x, int64_t at_w, int64_t at_y) {
          dw[at_w] += c.x.as<double>()[at_x] * c.y.as<double>()[at_y];
        });
        if (dbias) for_each_pixel(c.y, n, o, [&](int64_t at) { dbias[o] += c.y.as<double>()[at]; });
      }
    }
  });
}

// --- The kernels ----------------------------------------------------------------------------------------------------

void require_type(DType dtype) {
  if (dtype != DType::f32 && dtype != DType::f64) {
    throw DTypeError(format("conv2d: no kernel for dtype {}", name_of(dtype)), "convert to f32");
  }
}

// y = relu(y), where y lies without gaps. Not a post-op of oneDNN, whose ReLU makes 0 of nan.
void apply_relu(CpuStream& stream, View y) {
  y.shape = {y.numel()};
  y.strides = {1};
  Unary<Relu>::forward.cpu(stream, {}, y, y);
}

void conv2d_cpu(CpuStream& stream, ConstView x, ConstView w, ConstView bias, ConvGeometry g, Activation activation,
                View y) {
  require_type(x.dtype);
  if (y.numel() == 0) return;
  if (x.dtype == DType::f64) {
    return forward_f64({x, w, y, g}, bias.defined() ? bias.as<double>() : nullptr, activation, y.as<double>());
  }
  const onednn::Plan& plan = onednn::plan_for(key_of(Role::forward, g, {x, w, y, bias}),
                                              [&] { return plan_forward(Problem(x, w, y, g), bias.defined()); });
  plan.run(stream, {x.data, w.data, y.data, bias.data});
  if (activation == Activation::relu) apply_relu(stream, y);
}

void conv2d_backward_data_cpu(CpuStream& stream, ConstView dy, ConstView w, ConvGeometry g, View dx) {
  require_type(dy.dtype);
  if (dx.numel() == 0) return;
  if (dy.dtype == DType::f64) return backward_data_f64({dx, w, dy, g}, dx.as<double>());
  const onednn::Plan& plan = onednn::plan_for(key_of(Role::backward_data, g, {dy, w, dx}),
                                              [&] { return plan_backward_data(Problem(dx, w, dy, g)); });
  plan.run(stream, {dy.data, w.data, dx.data});
}

// [channels] as [1, channels, 1, 1].
View as_image(View channels) {
  const int64_t count = channels.shape[0];
  channels.shape = {1, count, 1, 1};
  channels.strides = {count, 1, 1, 1};
  return channels;
}

void conv2d_backward_weights_cpu(CpuStream& stream, ConstView x, ConstView dy, ConvGeometry g, View dw, View dbias) {
  require_type(x.dtype);
  if (x.dtype == DType::f64) {
    return backward_weights_f64({x, dw, dy, g}, dw.as<double>(), dbias.defined() ? dbias.as<double>() : nullptr);
  }
  if (dy.numel() == 0 || x.numel() == 0) {
    std::fill_n(dw.as<float>(), dw.numel(), 0.0f);
    if (dbias.defined()) std::fill_n(dbias.as<float>(), dbias.numel(), 0.0f);
    return;
  }
  if (g.groups == 1) {
    weights_gradient(stream, x, dy, g, dw);
    if (dbias.defined()) sum.cpu(stream, dy, as_image(dbias));
    return;
  }
  const onednn::Plan& plan = onednn::plan_for(key_of(Role::backward_weights, g, {x, dy, dw, dbias}), [&] {
    return plan_backward_weights(Problem(x, dw, dy, g), dbias.defined());
  });
  plan.run(stream, {x.data, dy.data, dw.data, dbias.data});
}

}  // namespace

Kernel<ConstView, ConstView, ConstView, ConvGeometry, Activation, View> conv2d{"conv2d", conv2d_cpu};
Kernel<ConstView, ConstView, ConvGeometry, View> conv2d_backward_data{"conv2d_backward_data", conv2d_backward_data_cpu};
Kernel<ConstView, ConstView, ConvGeometry, View, View> conv2d_backward_weights{"conv2d_backward_weights",
                                                                               conv2d_backward_weights_cpu};

}  // namespace rstorch::kernels
