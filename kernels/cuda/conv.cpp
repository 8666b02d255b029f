// Convolutions by cuDNN.
//
// Images go through as channels-last, where cuDNN has an algorithm for that, else as contiguous; an operand that lies
// otherwise is copied first. The algorithm is the first that cuDNN's heuristics name among those whose bits repeat and
// whose arithmetic is that of the dtype. It is asked for once per thread and shape, and kept.
#include "kernels/conv.h"

#include <map>
#include <span>
#include <tuple>

#include "base/error.h"
#include "kernels/copy.h"
#include "kernels/cuda/bias.h"
#include "kernels/cuda/dnn.h"
#include "kernels/cuda/install.h"
#include "kernels/cuda/owned.h"

namespace rstorch::kernels {
namespace {

constexpr size_t kMostWorkspace = size_t(256) << 20;  // an algorithm that wants more is not taken

using ImageShape = Owned<cudnnTensorDescriptor_t, cudnnDestroyTensorDescriptor>;
using FilterShape = Owned<cudnnFilterDescriptor_t, cudnnDestroyFilterDescriptor>;
using Convolution = Owned<cudnnConvolutionDescriptor_t, cudnnDestroyConvolutionDescriptor>;

cudnnDataType_t data_type(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return CUDNN_DATA_FLOAT;
    case DType::f64:
      return CUDNN_DATA_DOUBLE;
    case DType::bf16:
      return CUDNN_DATA_BFLOAT16;
    default:
      return CUDNN_DATA_HALF;
  }
}

// Which of the three computations.
enum class Pass : uint8_t { forward, data, weights };

// The convolution y = x * w, or one of its gradients.
struct Problem {
  Pass pass;
  DType dtype;
  bool tensor_cores;  // halves and, where it is allowed, f32 as TF32
  Shape x, w, y;
  ConvGeometry geometry;
};

std::string text(const Problem& p) {
  return format("a convolution of {} with {} to {} ({})", p.x.text(), p.w.text(), p.y.text(), name_of(p.dtype));
}

int narrow(int64_t size, const Problem& problem) {
  if (size > INT32_MAX) throw ShapeError(format("{} is too large for cuDNN", text(problem)), "use a smaller batch");
  return int(size);
}

// What cuDNN knows of a problem, and how it does it.
struct Plan {
  ImageShape x, y;
  FilterShape w;
  Convolution convolution;
  cudnnTensorFormat_t format;
  int algorithm;  // of the pass's own enumeration
  size_t workspace;
};

ImageShape image(const Problem& p, const Shape& s, cudnnTensorFormat_t format) {
  cudnnTensorDescriptor_t handle = nullptr;
  check(cudnnCreateTensorDescriptor(&handle), "cudnnCreateTensorDescriptor");
  ImageShape out(handle);
  narrow(s.numel(), p);
  check(cudnnSetTensor4dDescriptor(handle, format, data_type(p.dtype), int(s[0]), int(s[1]), int(s[2]), int(s[3])),
        "cudnnSetTensor4dDescriptor");
  return out;
}

FilterShape filter(const Problem& p, cudnnTensorFormat_t format) {
  cudnnFilterDescriptor_t handle = nullptr;
  check(cudnnCreateFilterDescriptor(&handle), "cudnnCreateFilterDescriptor");
  FilterShape out(handle);
  narrow(p.w.numel(), p);
  check(cudnnSetFilter4dDescriptor(handle, data_type(p.dtype), format, int(p.w[0]), int(p.w[1]), int(p.w[2]),
                                   int(p.w[3])),
        "cudnnSetFilter4dDescriptor");
  return out;
}

Convolution convolution(const Problem& p) {
  const auto& [stride, padding, dilation, groups] = p.geometry;
  cudnnConvolutionDescriptor_t handle = nullptr;
  check(cudnnCreateConvolutionDescriptor(&handle), "cudnnCreateConvolutionDescriptor");
  Convolution out(handle);
  const bool is_double = p.dtype == DType::f64;
  check(cudnnSetConvolution2dDescriptor(handle, narrow(padding[0], p), narrow(padding[1], p), narrow(stride[0], p),
                                        narrow(stride[1], p), narrow(dilation[0], p), narrow(dilation[1], p),
                                        CUDNN_CROSS_CORRELATION, is_double ? CUDNN_DATA_DOUBLE : CUDNN_DATA_FLOAT),
        "cudnnSetConvolution2dDescriptor");
  check(cudnnSetConvolutionGroupCount(handle, narrow(groups, p)), "cudnnSetConvolutionGroupCount");
  return out;
}

bool on_tensor_cores(const CudaStream& stream, DType dtype) {
  return dtype == DType::bf16 || dtype == DType::f16 || (dtype == DType::f32 && stream.allows_tf32());
}

// The first of cuDNN's proposals that will do, with the arithmetic that it wants. `ask` is one of the functions
// cudnnGetConvolution...Algorithm_v7.
template <class Proposal, class Ask, class... Shapes>
bool choose(Plan& plan, bool tensor_cores, Ask ask, cudnnHandle_t handle, const Shapes&... shapes) {
  constexpr int kMost = 16;
  Proposal proposals[kMost];
  int count = 0;
  check(cudnnSetConvolutionMathType(plan.convolution.get(), tensor_cores ? CUDNN_TENSOR_OP_MATH : CUDNN_FMA_MATH),
        "cudnnSetConvolutionMathType");
  if (ask(handle, shapes..., kMost, &count, proposals) != CUDNN_STATUS_SUCCESS) return false;
  for (const Proposal& proposal : std::span(proposals, size_t(count))) {
    const bool exact = tensor_cores || proposal.mathType == CUDNN_FMA_MATH || proposal.mathType == CUDNN_DEFAULT_MATH;
    if (proposal.status != CUDNN_STATUS_SUCCESS || proposal.determinism != CUDNN_DETERMINISTIC || !exact) continue;
    if (proposal.memory > kMostWorkspace) continue;
    if (tensor_cores) {
      check(cudnnSetConvolutionMathType(plan.convolution.get(), proposal.mathType), "cudnnSetConvolutionMathType");
    }
    plan.algorithm = proposal.algo;
    plan.workspace = proposal.memory;
    return true;
  }
  return false;
}

bool choose(Plan& plan, const Problem& p, cudnnHandle_t handle) {
  const auto x = plan.x.get(), y = plan.y.get();
  const auto w = plan.w.get();
  const auto convolution = plan.convolution.get();
  switch (p.pass) {
    case Pass::forward:
      return choose<cudnnConvolutionFwdAlgoPerf_t>(plan, p.tensor_cores, cudnnGetConvolutionForwardAlgorithm_v7, handle,
                                                   x, w, convolution, y);
    case Pass::data:
      return choose<cudnnConvolutionBwdDataAlgoPerf_t>(
          plan, p.tensor_cores, cudnnGetConvolutionBackwardDataAlgorithm_v7, handle, w, y, convolution, x);
    case Pass::weights:
      return choose<cudnnConvolutionBwdFilterAlgoPerf_t>(
          plan, p.tensor_cores, cudnnGetConvolutionBackwardFilterAlgorithm_v7, handle, x, y, convolution, w);
  }
  return false;
}

Plan make_plan(cudnnHandle_t handle, const Problem& p) {
  for (const cudnnTensorFormat_t format : {CUDNN_TENSOR_NHWC, CUDNN_TENSOR_NCHW}) {
    Plan plan{image(p, p.x, format), image(p, p.y, format), filter(p, format), convolution(p), format, 0, 0};
    if (choose(plan, p, handle)) return plan;
  }
  throw DeviceError(format("cuDNN has no algorithm for {}", text(p)), "try another dtype, kernel_size or groups");
}

const Plan& plan_of(CudaStream& stream, const Problem& p) {
  const auto key = [](int device, const Problem& p) {
    return std::tuple(device, p.pass, p.dtype, p.tensor_cores, p.x.vector(), p.w.vector(), p.y.vector(),
                      p.geometry.stride, p.geometry.padding, p.geometry.dilation, p.geometry.groups);
  };
  thread_local std::map<decltype(key(0, p)), Plan> known;
  const auto handle = static_cast<cudnnHandle_t>(stream.dnn_handle());
  const auto at = known.find(key(stream.device().index, p));
  if (at != known.end()) return at->second;
  return known.emplace(key(stream.device().index, p), make_plan(handle, p)).first->second;
}

Strides strides_in(cudnnTensorFormat_t format, const Shape& s) {
  if (format == CUDNN_TENSOR_NCHW) return contiguous_strides(s);
  return {s[1] * s[2] * s[3], 1, s[3] * s[1], s[1]};
}

// Elements around an image: rows above, columns to the left; below and to the right.
struct Margin {
  std::array<int64_t, 2> before = {0, 0}, after = {0, 0};
  bool any() const { return before[0] + before[1] + after[0] + after[1] > 0; }
};

// An operand as the plan wants it: itself, or a copy in scratch memory, with zeros around it where it has a margin.
class Operand {
 public:
  Operand(const ConstView& view, cudnnTensorFormat_t format, const Margin& margin = {})
      : view_(view), whole_{nullptr, view.shape, {}, view.dtype}, margin_(margin), copied_(margin.any()) {
    for (int i = 0; i < 2; ++i) whole_.shape[i + 2] += margin.before[size_t(i)] + margin.after[size_t(i)];
    whole_.strides = strides_in(format, whole_.shape);
    for (int i = 0; i < 4; ++i) copied_ |= view.shape[i] != 1 && view.strides[i] != whole_.strides[i];
  }

  size_t scratch_bytes() const {
    constexpr size_t kAlignment = 256;
    return copied_ ? (size_t(whole_.numel()) * size_of(whole_.dtype) + kAlignment - 1) / kAlignment * kAlignment : 0;
  }
  void set_scratch(void* memory) { whole_.data = memory; }

  const void* read(CudaStream& stream) const {
    if (!copied_) return view_.data;
    if (margin_.any()) fill.cuda(stream, whole_, 0);
    copy.cuda(stream, view_, inside());
    return whole_.data;
  }
  // Where a result goes, which give_back() then hands to `to`.
  void* written(const View& to) const { return copied_ ? whole_.data : to.data; }
  void give_back(CudaStream& stream, const View& to) const {
    if (copied_) copy.cuda(stream, inside(), to);
  }

 private:
  View inside() const {
    const int64_t first = margin_.before[0] * whole_.strides[2] + margin_.before[1] * whole_.strides[3];
    return {whole_.as<char>() + first * int64_t(size_of(whole_.dtype)), view_.shape, whole_.strides, view_.dtype};
  }

  ConstView view_;
  View whole_;
  Margin margin_;
  bool copied_;
};

// Space for operands, after `workspace` bytes for cuDNN.
template <class... Operands>
void* take_scratch(CudaStream& stream, size_t workspace, Operands&... operands) {
  constexpr size_t kAlignment = 256;
  workspace = (workspace + kAlignment - 1) / kAlignment * kAlignment;
  char* const memory = static_cast<char*>(stream.workspace(workspace + (operands.scratch_bytes() + ...)));
  char* next = memory + workspace;
  (..., (operands.set_scratch(next), next += operands.scratch_bytes()));
  return memory;
}

// A call of a kernel: cuDNN pads the same before and after. Where that does not give y's sizes, x is padded by a copy.
struct Call {
  Problem problem;
  Margin margin;  // of x

  Call(const CudaStream& stream, Pass pass, const ConstView& x, const ConstView& w, const ConstView& y,
       const ConvGeometry& geometry)
      : problem{pass, x.dtype, on_tensor_cores(stream, x.dtype), x.shape, w.shape, y.shape, geometry} {
    Margin wanted;
    bool same = true;
    for (size_t i = 0; i < 2; ++i) {
      const int at = int(i) + 2;
      const int64_t reach = geometry.dilation[i] * (w.shape[at] - 1) + 1, padding = geometry.padding[i];
      same &= (x.shape[at] + 2 * padding - reach) / geometry.stride[i] + 1 == y.shape[at];
      const int64_t after = (y.shape[at] - 1) * geometry.stride[i] + reach - x.shape[at] - padding;
      wanted.before[i] = padding, wanted.after[i] = std::max<int64_t>(after, 0);
    }
    if (same) return;
    margin = wanted;
    problem.geometry.padding = {0, 0};
    for (size_t i = 0; i < 2; ++i) problem.x[int(i) + 2] += margin.before[i] + margin.after[i];
  }
};

// alpha and beta of cuDNN: float, or double for f64.
struct Factors {
  double doubles[2] = {1, 0};
  float floats[2] = {1, 0};
  bool is_double;
  explicit Factors(DType dtype) : is_double(dtype == DType::f64) {}
  const void* one() const { return is_double ? static_cast<const void*>(&doubles[0]) : &floats[0]; }
  const void* zero() const { return is_double ? static_cast<const void*>(&doubles[1]) : &floats[1]; }
};

// A channels-last image as rows of channels.
template <class V>
V as_rows(V image) {
  const int64_t channels = image.shape[1];
  image.shape = {image.shape[0] * image.shape[2] * image.shape[3], channels};
  image.strides = {channels, 1};
  return image;
}

void conv2d_cuda(CudaStream& stream, ConstView x, ConstView w, ConstView bias, ConvGeometry geometry,
                 Activation activation, View y) {
  if (y.numel() == 0) return;
  const Call call(stream, Pass::forward, x, w, y, geometry);
  const Plan& plan = plan_of(stream, call.problem);
  const Factors factors(x.dtype);
  Operand in(x, plan.format, call.margin), weights(w, plan.format), out(y, plan.format);
  void* const workspace = take_scratch(stream, plan.workspace, in, weights, out);
  check(cudnnConvolutionForward(static_cast<cudnnHandle_t>(stream.dnn_handle()), factors.one(), plan.x.get(),
                                in.read(stream), plan.w.get(), weights.read(stream), plan.convolution.get(),
                                cudnnConvolutionFwdAlgo_t(plan.algorithm), workspace, plan.workspace, factors.zero(),
                                plan.y.get(), out.written(y)),
        "cudnnConvolutionForward");
  out.give_back(stream, y);
  add_bias(stream, bias, activation, as_rows(y));
}

void conv2d_backward_data_cuda(CudaStream& stream, ConstView dy, ConstView w, ConvGeometry geometry, View dx) {
  if (dx.numel() == 0) return;
  const Call call(stream, Pass::data, dx, w, dy, geometry);
  const Plan& plan = plan_of(stream, call.problem);
  const Factors factors(dx.dtype);
  Operand gradient(dy, plan.format), weights(w, plan.format), out(dx, plan.format, call.margin);
  void* const workspace = take_scratch(stream, plan.workspace, gradient, weights, out);
  check(cudnnConvolutionBackwardData(static_cast<cudnnHandle_t>(stream.dnn_handle()), factors.one(), plan.w.get(),
                                     weights.read(stream), plan.y.get(), gradient.read(stream), plan.convolution.get(),
                                     cudnnConvolutionBwdDataAlgo_t(plan.algorithm), workspace, plan.workspace,
                                     factors.zero(), plan.x.get(), out.written(dx)),
        "cudnnConvolutionBackwardData");
  out.give_back(stream, dx);
}

void conv2d_backward_weights_cuda(CudaStream& stream, ConstView x, ConstView dy, ConvGeometry geometry, View dw,
                                  View dbias) {
  if (x.numel() == 0 || dy.numel() == 0) {  // sums of nothing
    fill.cuda(stream, dw, 0);
    if (dbias.defined()) fill.cuda(stream, dbias, 0);
    return;
  }
  const Call call(stream, Pass::weights, x, dw, dy, geometry);
  const Plan& plan = plan_of(stream, call.problem);
  const Factors factors(x.dtype);
  Operand in(x, plan.format, call.margin), gradient(dy, plan.format), out(dw, plan.format);
  void* const workspace = take_scratch(stream, plan.workspace, in, gradient, out);
  check(cudnnConvolutionBackwardFilter(static_cast<cudnnHandle_t>(stream.dnn_handle()), factors.one(), plan.x.get(),
                                       in.read(stream), plan.y.get(), gradient.read(stream), plan.convolution.get(),
                                       cudnnConvolutionBwdFilterAlgo_t(plan.algorithm), workspace, plan.workspace,
                                       factors.zero(), plan.w.get(), out.written(dw)),
        "cudnnConvolutionBackwardFilter");
  out.give_back(stream, dw);
  if (dbias.defined()) activation_backward(stream, as_rows(dy), {}, Activation::none, {}, dbias);
}

}  // namespace

void install_conv() {
  conv2d.cuda = conv2d_cuda;
  conv2d_backward_data.cuda = conv2d_backward_data_cuda;
  conv2d_backward_weights.cuda = conv2d_backward_weights_cuda;
}

}  // namespace rstorch::kernels
