#include "optim/clip.h"

#include <cmath>

#include "autograd/grad_mode.h"
#include "base/error.h"
#include "kernels/optim.h"
#include "tensor/runtime.h"

namespace rstorch::optim {
namespace {

// One number per array, on their device; and a place of its own for each.
Tensor numbers(const std::vector<Tensor>& arrays, DType dtype) {
  return Tensor::zeros({int64_t(arrays.size())}, {dtype, arrays[0].device()});
}
Tensor place(const Tensor& numbers, size_t i) { return numbers.alias({1}, {1}, int64_t(i)); }

// The squares that clip_factor adds up: of each array for the 2-norm, else of the norm over all of them.
Tensor squares_of(const std::vector<Tensor>& arrays, double p) {
  const Tensor each = numbers(arrays, DType::f64);
  for (size_t i = 0; i < arrays.size(); ++i) {
    if (p == 2) {
      kernels::squared_norm(current_stream(each.device()), arrays[i].view(), place(each, i).mutable_view());
      continue;
    }
    const Tensor magnitude = arrays[i].to(DType::f64).abs();
    place(each, i).copy_(std::isinf(p) ? magnitude.max() : magnitude.pow(p).sum());
  }
  if (p == 2) return each;
  const Tensor norm = std::isinf(p) ? each.max() : each.sum().pow(1 / p);
  return norm.pow(2).reshape({1});
}

std::vector<Tensor> gradients_of(const std::vector<Tensor>& parameters) {
  std::vector<Tensor> out;
  for (const Tensor& parameter : parameters) {
    if (const Tensor grad = parameter.grad(); grad.defined()) out.push_back(grad);
  }
  return out;
}

}  // namespace

Tensor clip_norm(const std::vector<Tensor>& gradients, double max_norm, double norm_type) {
  if (!(max_norm > 0)) throw ArgumentError(format("clip_norm: max_norm is {}, wanted more than 0", max_norm));
  if (!(norm_type > 0)) throw ArgumentError(format("clip_norm: norm_type is {}, wanted more than 0", norm_type));
  if (gradients.empty()) return Tensor::zeros({}, {.dtype = DType::f64});
  for (const Tensor& gradient : gradients) {
    if (!gradient.is_contiguous())
      throw ArgumentError("clip_norm: a gradient is not contiguous", "give it contiguous()");
  }
  const NoGrad no_grad;
  const Tensor squares = squares_of(gradients, norm_type);
  const Tensor norm = Tensor::empty({}, squares.options()), factor = Tensor::empty({}, squares.options());
  Stream& stream = current_stream(squares.device());
  kernels::clip_factor(stream, squares.view(), max_norm, norm.mutable_view(), factor.mutable_view());
  for (const Tensor& gradient : gradients) kernels::scale_by(stream, factor.view(), gradient.mutable_view());
  return norm;
}

void clip_value(const std::vector<Tensor>& gradients, double clip_value) {
  const NoGrad no_grad;
  for (Tensor gradient : gradients) gradient.copy_(gradient.clamp(-clip_value, clip_value));
}

Tensor all_finite(const std::vector<Tensor>& gradients) {
  const NoGrad no_grad;
  if (gradients.empty()) return Tensor::ones({}, {.dtype = DType::boolean});
  const Tensor each = numbers(gradients, DType::boolean);
  for (size_t i = 0; i < gradients.size(); ++i) {
    kernels::all_finite(current_stream(each.device()), gradients[i].view(), place(each, i).mutable_view());
  }
  return each.to(DType::f32).min().to(DType::boolean);
}

}  // namespace rstorch::optim

namespace rstorch::nn::utils {

Tensor clip_grad_norm_(const std::vector<Tensor>& parameters, double max_norm, double norm_type) {
  return optim::clip_norm(optim::gradients_of(parameters), max_norm, norm_type);
}

void clip_grad_value_(const std::vector<Tensor>& parameters, double clip_value) {
  optim::clip_value(optim::gradients_of(parameters), clip_value);
}

}  // namespace rstorch::nn::utils
