#include <cmath>

#include "cases.h"
#include "ops/ops.h"

namespace rstorch::testing {
namespace {

using UnaryFunction = Tensor (*)(const Tensor&);

OpCase unary_case(const std::string& op, UnaryFunction run, double (*reference)(double), double low = -3,
                  double high = 3) {
  const auto input = floats({3, 4, 5}).in_range(low, high).when_empty({3, 0, 5}).when_large({1000, 401});
  return {.op = op,
          .inputs = {input},
          .run = [run](const std::vector<Tensor>& in) { return run(in[0]); },
          .reference = [reference](const std::vector<Array>& in) { return elementwise(in[0], reference); },
          .dtypes = {DType::f32, DType::f64, DType::bf16, DType::f16}};
}

// The values that tests of ranges forget.
OpCase special_values(OpCase op_case, std::vector<double> values) {
  const auto count = int64_t(values.size());
  op_case.what = "special values";
  op_case.inputs = {floats({count}).with(std::move(values))};
  op_case.differentiable = false;
  op_case.dtypes = {DType::f32, DType::f64};
  return op_case;
}

double sigmoid_of(double x) { return 1 / (1 + std::exp(-x)); }

OpCase clamp_case(const std::string& what, std::optional<Scalar> min, std::optional<Scalar> max) {
  return {.op = "clamp",
          .what = what,
          .inputs = {floats({4, 9}).when_empty({0, 9})},
          .run = [min, max](const std::vector<Tensor>& in) { return clamp(in[0], min, max); },
          .reference =
              [min, max](const std::vector<Array>& in) {
                return elementwise(in[0], [&](double x) {
                  if (min) x = std::max(x, min->as<double>());
                  return max ? std::min(x, max->as<double>()) : x;
                });
              },
          .dtypes = {DType::f32, DType::f64, DType::bf16, DType::f16}};
}

}  // namespace

std::vector<OpCase> unary_cases() {
  const double inf = std::numeric_limits<double>::infinity(), nan = std::numeric_limits<double>::quiet_NaN();
  const std::vector<double> edges = {0.0, -0.0, inf, -inf, nan, 1e-30, -1e-30, 1e30, -1e30, 1, -1};
  const OpCase exp_case = unary_case("exp", exp, std::exp, -5, 5), log_case = unary_case("log", log, std::log, 0.01, 5);
  const OpCase tanh_case = unary_case("tanh", tanh, std::tanh),
               sigmoid_case = unary_case("sigmoid", sigmoid, sigmoid_of);
  const OpCase relu_case = unary_case("relu", relu, [](double x) { return x < 0 ? 0 : x; });
  OpCase relu_of_images = relu_case;
  relu_of_images.what = "images";
  relu_of_images.inputs = {floats({2, 3, 2, 2}).when_empty({0, 3, 2, 2})};
  OpCase not_case = {
      .op = "logical_not",
      .inputs =
          {floats({3, 7}).with({0, 1, 0, 2, -1, 0, 5, 0, 0, 1, 2, 3, 0, 0, 1, 0, -0.0, 1, 0, 0, 7}).when_empty({0, 7})},
      .run = [](const std::vector<Tensor>& in) { return logical_not(in[0]); },
      .reference =
          [](const std::vector<Array>& in) { return elementwise(in[0], [](double x) { return x == 0 ? 1.0 : 0.0; }); },
      .differentiable = false,
      .dtypes = {DType::f32, DType::f64, DType::bf16, DType::f16}};
  return {
      unary_case("neg", neg, [](double x) { return -x; }),
      exp_case,
      special_values(exp_case, {0.0, -0.0, inf, -inf, nan, 88.7, -87.3, -80, 1e-10, 1000, -1000}),
      log_case,
      special_values(log_case, {0.0, inf, -1, nan, 1e-30, 1e30, 1, 0.99999988079071045, 1.0000001192092896}),
      unary_case("sqrt", sqrt, std::sqrt, 0.01, 9),
      unary_case(
          "rsqrt", rsqrt, [](double x) { return 1 / std::sqrt(x); }, 0.01, 9),
      unary_case("square", square, [](double x) { return x * x; }),
      unary_case("abs", abs, [](double x) { return std::fabs(x); }),
      unary_case("sin", sin, std::sin, -7, 7),
      unary_case("cos", cos, std::cos, -7, 7),
      tanh_case,
      special_values(tanh_case, edges),
      sigmoid_case,
      special_values(sigmoid_case, edges),
      relu_case,
      special_values(relu_case, edges),
      relu_of_images,
      unary_case(
          "leaky_relu", [](const Tensor& x) { return leaky_relu(x, 0.2); },
          [](double x) { return x > 0 ? x : 0.2 * x; }),
      unary_case("gelu", gelu, [](double x) { return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0))); }),
      unary_case("gelu_tanh", gelu_tanh,
                 [](double x) { return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x))); }),
      unary_case("silu", silu, [](double x) { return x * sigmoid_of(x); }),
      not_case,
      clamp_case("both", -0.5, 1.0),
      clamp_case("min only", 0, {}),
      clamp_case("max only", {}, 0.25),
  };
}

}  // namespace rstorch::testing
