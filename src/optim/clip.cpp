#include "optim/clip.h"

#include <cmath>

#include "autograd/grad_mode.h"
#include "base/error.h"
#include "kernels/optim.h"
#include "ops/ops.h"
#include "tensor/runtime.h"

namespace rstorch::optim {
namespace {

// Where the results of several arrays go: f64 [count] on their device, and a view of one element.
Tensor numbers(const std::vector<Tensor>& arrays, DType dtype = DType::f64) {
  const Device device = arrays.empty() ? kCPU : arrays[0].device();
  return Tensor::zeros({int64_t(arrays.size())}, {dtype, device});
}

// Sum of |x|^p over all arrays as numbers of the norm's kind; infinity: the largest |x|.
Tensor norm_by_ops(const std::vector<Tensor>& arrays, double p) {
  Tensor total = Tensor::zeros({}, numbers(arrays).options());
  for (const Tensor& array : arrays) {
    const Tensor magnitude = array.to(DType::f64).abs();
    if (std::isinf(p))
      total = maximum(total, magnitude.max());
    else
      total = total + magnitude.pow(p).sum();
  }
  return std::isinf(p) ? total : total.pow(1 / p);
}

// min(1, max_norm / (norm + 1e-6)), and 1 where norm is not finite: a comparison with nan is false.
Tensor factor_by_ops(const Tensor& norm, double max_norm) {
  const Tensor factor = max_norm / (norm + 1e-6);
  return where(lt(norm, INFINITY), factor.clamp({}, 1.0), ones_like(norm));
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
  const NoGrad no_grad;
  const Tensor squares = numbers(gradients);
  Stream& stream = current_stream(squares.device());
  Tensor norm = Tensor::empty({}, squares.options()), factor = Tensor::empty({}, squares.options());
  if (norm_type == 2) {
    for (size_t i = 0; i < gradients.size(); ++i) {
      kernels::squared_norm(stream, gradients[i].view(), squares.select(0, int64_t(i)).mutable_view());
    }
    kernels::clip_factor(stream, squares.view(), max_norm, norm.mutable_view(), factor.mutable_view());
  } else {
    norm = norm_by_ops(gradients, norm_type);
    factor = factor_by_ops(norm, max_norm);
  }
  for (const Tensor& gradient : gradients) kernels::scale_by(stream, factor.view(), gradient.mutable_view());
  return norm;
}

void clip_value(const std::vector<Tensor>& gradients, double clip_value) {
  const NoGrad no_grad;
  for (Tensor gradient : gradients) gradient.copy_(gradient.clamp(-clip_value, clip_value));
}

Tensor all_finite(const std::vector<Tensor>& gradients) {
  const NoGrad no_grad;
  const Tensor each = numbers(gradients, DType::boolean);
  Stream& stream = current_stream(each.device());
  for (size_t i = 0; i < gradients.size(); ++i) {
    kernels::all_finite(stream, gradients[i].view(), each.select(0, int64_t(i)).mutable_view());
  }
  return eq(rstorch::sum(each), int64_t(gradients.size()));
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
