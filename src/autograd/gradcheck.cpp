#include "autograd/gradcheck.h"

#include <cmath>
#include <random>

#include "autograd/grad_mode.h"
#include "base/error.h"

namespace rstorch {
namespace {

double inner_product(const Tensor& y, const std::vector<double>& cotangent) {
  const std::vector<double> values = y.to_vector<double>();
  double sum = 0;
  for (size_t i = 0; i < values.size(); ++i) sum += values[i] * cotangent[i];
  return sum;
}

}  // namespace

GradcheckResult gradcheck(const std::function<Tensor(const std::vector<Tensor>&)>& f, const std::vector<Tensor>& inputs,
                          const GradcheckOptions& options) {
  std::vector<Tensor> arguments;
  for (const Tensor& input : inputs) {
    if (!input.defined()) {
      arguments.emplace_back();
      continue;
    }
    if (input.requires_grad() && (input.dtype() != DType::f64 || !input.is_contiguous())) {
      throw DTypeError("gradcheck: inputs that require grad must be contiguous f64 tensors");
    }
    arguments.push_back(input.detach().set_requires_grad(input.requires_grad()));
  }
  const Tensor y = f(arguments);
  if (y.dtype() != DType::f64) throw DTypeError(format("gradcheck: the function returned {}", name_of(y.dtype())));

  std::mt19937_64 generator(options.seed + 1);
  std::normal_distribution<double> normal;
  std::vector<double> cotangent(size_t(y.numel()));
  for (double& value : cotangent) value = normal(generator);
  y.backward(Tensor::from(cotangent, y.shape()));

  GradcheckResult result;
  const NoGrad no_grad;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const Tensor& x = arguments[i];
    if (!x.defined() || !x.requires_grad()) continue;
    const std::vector<double> analytic =
        x.grad().defined() ? x.grad().to_vector<double>() : std::vector<double>(size_t(x.numel()), 0.0);
    double* const values = x.data<double>();
    for (size_t j = 0; j < analytic.size(); ++j) {
      const double kept = values[j];
      values[j] = kept + options.epsilon;
      const double above = inner_product(f(arguments), cotangent);
      values[j] = kept - options.epsilon;
      const double below = inner_product(f(arguments), cotangent);
      values[j] = kept;
      const double numeric = (above - below) / (2 * options.epsilon);
      const double error = std::abs(analytic[j] - numeric);
      if (error > result.max_error) result.max_error = error;
      // Written so that a NaN fails.
      if (!(error <= options.atol + options.rtol * std::abs(numeric)) && result.ok) {
        result.ok = false;
        result.message = format("input {}, element {}: analytic {}, numeric {}", i, j, analytic[j], numeric);
      }
    }
  }
  return result;
}

}  // namespace rstorch
