#include "nn/init.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include "autograd/grad_mode.h"
#include "base/error.h"
#include "tensor/arithmetic.h"
#include "tensor/generator.h"

namespace rstorch::nn::init {
namespace {

thread_local KeyedScope* current = nullptr;

double kaiming_std(const Tensor& x, const Kaiming& options) {
  const Fans fans = fans_of(x.shape());
  const double fan = double(options.mode == FanMode::fan_in ? fans.in : fans.out);
  return calculate_gain(options.nonlinearity, options.a) / std::sqrt(fan);
}

double xavier_std(const Tensor& x, double gain) {
  const Fans fans = fans_of(x.shape());
  return gain * std::sqrt(2.0 / double(fans.in + fans.out));
}

// A uniform number within +-bound has the standard deviation bound / sqrt(3).
void uniform_of_std(const Tensor& x, double std) {
  const double bound = std::sqrt(3.0) * std;
  uniform_(x, -bound, bound);
}

double normal_cdf(double x) { return 0.5 * std::erfc(-x / std::numbers::sqrt2); }

// The x with normal_cdf(x) = p, by bisection to the last bit: it runs once per weight at the start of a run, and every
// formula that is faster is longer.
double normal_quantile(double p) {
  double low = -40, high = 40;
  for (int i = 0; i < 64; ++i) {
    const double middle = 0.5 * (low + high);
    (normal_cdf(middle) < p ? low : high) = middle;
  }
  return 0.5 * (low + high);
}

// Makes the rows of a [rows, columns] orthonormal (rows <= columns): Gram-Schmidt, twice, which is enough (Giraud
// 2005).
void orthonormalise(std::vector<double>& a, size_t rows, size_t columns) {
  const auto row = [&](size_t i) { return a.begin() + std::ptrdiff_t(i * columns); };
  for (size_t i = 0; i < rows; ++i) {
    for (size_t pass = 0; pass < 2; ++pass) {
      for (size_t j = 0; j < i; ++j) {
        double dot = 0;
        for (size_t k = 0; k < columns; ++k) dot += row(i)[std::ptrdiff_t(k)] * row(j)[std::ptrdiff_t(k)];
        for (size_t k = 0; k < columns; ++k) row(i)[std::ptrdiff_t(k)] -= dot * row(j)[std::ptrdiff_t(k)];
      }
    }
    double square = 0;
    for (size_t k = 0; k < columns; ++k) square += row(i)[std::ptrdiff_t(k)] * row(i)[std::ptrdiff_t(k)];
    for (size_t k = 0; k < columns; ++k) row(i)[std::ptrdiff_t(k)] /= std::sqrt(square);
  }
}

}  // namespace

RandomKey next_key() {
  if (!current) return next_random_key();
  const RandomKey key = current->key_;
  ++current->key_.layer;
  return key;
}

KeyedScope::KeyedScope(uint64_t seed, uint32_t first_layer)
    : key_{.seed = seed, .purpose = Purpose::init, .layer = first_layer}, previous_(current) {
  current = this;
}
KeyedScope::~KeyedScope() { current = previous_; }

double calculate_gain(Nonlinearity nonlinearity, double a) {
  switch (nonlinearity) {
    case Nonlinearity::linear:
    case Nonlinearity::sigmoid:
      return 1;
    case Nonlinearity::tanh:
      return 5.0 / 3.0;
    case Nonlinearity::relu:
      return std::numbers::sqrt2;
    case Nonlinearity::leaky_relu:
      return std::sqrt(2.0 / (1.0 + a * a));
    case Nonlinearity::selu:
      return 0.75;
  }
  throw InternalError("calculate_gain: unknown nonlinearity");
}

Fans fans_of(const Shape& weight) {
  if (weight.dims() < 2) {
    throw ShapeError(format("init: the parameter has shape {}, which has no fan in and fan out", weight.text()),
                     "match weights of layers only, not biases and norms");
  }
  const int64_t field = weight.slice(2, weight.dims()).numel();
  return {weight[1] * field, weight[0] * field};
}

void constant_(const Tensor& x, double value) {
  const NoGrad no_grad;
  copy_into(x, full_like(x, value));
}
void zeros_(const Tensor& x) { constant_(x, 0); }
void ones_(const Tensor& x) { constant_(x, 1); }
void uniform_(const Tensor& x, double low, double high) { fill_uniform(x, next_key(), low, high); }
void normal_(const Tensor& x, double mean, double std) { fill_normal(x, next_key(), mean, std); }

void trunc_normal_(const Tensor& x, const TruncNormal& options) {
  const double low = normal_cdf((options.a - options.mean) / options.std);
  const double high = normal_cdf((options.b - options.mean) / options.std);
  if (x.device().is_meta()) return;
  const Tensor draws = Tensor::empty(x.shape(), {.dtype = DType::f64});
  fill_uniform(draws, next_key(), low, high);
  double* const values = draws.data<double>();
  for (int64_t i = 0; i < draws.numel(); ++i) {
    values[i] = std::clamp(options.mean + options.std * normal_quantile(values[i]), options.a, options.b);
  }
  copy_into(x, draws);
}

void kaiming_uniform_(const Tensor& x, const Kaiming& options) { uniform_of_std(x, kaiming_std(x, options)); }
void kaiming_normal_(const Tensor& x, const Kaiming& options) { normal_(x, 0, kaiming_std(x, options)); }
void xavier_uniform_(const Tensor& x, double gain) { uniform_of_std(x, xavier_std(x, gain)); }
void xavier_normal_(const Tensor& x, double gain) { normal_(x, 0, xavier_std(x, gain)); }

void orthogonal_(const Tensor& x, double gain) {
  const Fans checked = fans_of(x.shape());
  if (x.device().is_meta() || checked.in == 0 || checked.out == 0) return;
  const auto out = size_t(x.size(0)), rest = size_t(x.numel()) / out;
  const size_t rows = std::min(out, rest), columns = std::max(out, rest);
  const Tensor draws = Tensor::empty({int64_t(rows), int64_t(columns)}, {.dtype = DType::f64});
  fill_normal(draws, next_key(), 0, 1);
  std::vector<double> matrix = draws.to_vector<double>();
  orthonormalise(matrix, rows, columns);
  for (double& value : matrix) value *= gain;
  const Tensor result = Tensor::from(matrix, draws.shape());
  const Tensor placed =
      out <= rest ? result : copy_new(result.alias({int64_t(out), int64_t(rest)}, {1, int64_t(out)}, 0));
  copy_into(x, placed.alias(x.shape(), contiguous_strides(x.shape()), 0));
}

void default_weight_and_bias_(const Tensor& weight, const Tensor& bias) {
  const int64_t fan_in = fans_of(weight.shape()).in;
  const double bound = fan_in > 0 ? 1 / std::sqrt(double(fan_in)) : 0;  // kaiming_uniform with a = sqrt(5)
  uniform_(weight, -bound, bound);
  if (bias.defined()) uniform_(bias, -bound, bound);
}

}  // namespace rstorch::nn::init
