#include <cmath>

#include "cases.h"
#include "ops/ops.h"

namespace rstorch::testing {
namespace {

using Function = Tensor (*)(const Tensor&, const Tensor&);
using Reference = double (*)(double, double);

struct Shapes {
  const char* what;
  Shape a, b, empty_a, empty_b;
};
const Shapes kShapes[] = {
    {"same", {4, 5}, {4, 5}, {0, 5}, {0, 5}},
    {"row", {4, 5}, {5}, {0, 5}, {5}},
    {"column", {4, 5}, {4, 1}, {4, 0}, {4, 1}},
    {"outer", {3, 1}, {1, 4}, {0, 1}, {1, 4}},
    {"zero_dim", {2, 3}, {}, {0, 3}, {}},
    {"deep", {2, 1, 3, 1}, {4, 1, 5}, {2, 1, 0, 1}, {4, 1, 5}},
    {"images", {2, 3, 2, 2}, {2, 3, 2, 2}, {0, 3, 2, 2}, {0, 3, 2, 2}},
    {"channels", {2, 3, 2, 2}, {3, 1, 1}, {0, 3, 2, 2}, {3, 1, 1}},
};

OpCase binary_case(const std::string& op, Function run, Reference reference, const Shapes& shapes, double low,
                   double high) {
  return {.op = op,
          .what = shapes.what,
          .inputs = {floats(shapes.a).in_range(low, high).when_empty(shapes.empty_a),
                     floats(shapes.b).in_range(low, high).when_empty(shapes.empty_b)},
          .run = [run](const std::vector<Tensor>& in) { return run(in[0], in[1]); },
          .reference = [reference](const std::vector<Array>& in) { return elementwise(in[0], in[1], reference); },
          .dtypes = {DType::f32, DType::f64, DType::bf16, DType::f16}};
}

void add_cases(std::vector<OpCase>& out, const std::string& op, Function run, Reference reference, double low = -2,
               double high = 2) {
  for (const Shapes& shapes : kShapes) out.push_back(binary_case(op, run, reference, shapes, low, high));
}

void add_comparison(std::vector<OpCase>& out, const std::string& op, Function run,
                    Tensor (*with_number)(const Tensor&, Scalar), Reference reference) {
  OpCase tensors = binary_case(op, run, reference, kShapes[1], -2, 2);
  tensors.differentiable = false;
  tensors.inputs[0].with({0, 1, 2, 3, 4, 1, 1, 1, 1, 1, 4, 3, 2, 1, 0, -1, 0, 1, 0, -1});
  tensors.inputs[1].with({0, 1, 1, 3, 3});
  OpCase number = tensors;
  number.what = "number";
  number.inputs.pop_back();
  number.run = [with_number](const std::vector<Tensor>& in) { return with_number(in[0], 1); };
  number.reference = [reference](const std::vector<Array>& in) {
    return elementwise(in[0], [&](double x) { return reference(x, 1); });
  };
  out.push_back(tensors);
  out.push_back(number);
}

void add_number_case(std::vector<OpCase>& out, const std::string& op, Tensor (*run)(const Tensor&, Scalar),
                     Reference reference, double number, double low = -2) {
  out.push_back({.op = op,
                 .what = format("number {}", number),
                 .inputs = {floats({3, 5}).in_range(low, 2).when_empty({0, 5})},
                 .run = [run, number](const std::vector<Tensor>& in) { return run(in[0], number); },
                 .reference =
                     [reference, number](const std::vector<Array>& in) {
                       return elementwise(in[0], [&](double x) { return reference(x, number); });
                     },
                 .dtypes = {DType::f32, DType::f64, DType::bf16, DType::f16}});
}

OpCase scaled_case(const std::string& op, Tensor (*run)(const Tensor&, const Tensor&, Scalar), double sign) {
  return {.op = op,
          .what = "alpha 0.5",
          .inputs = {floats({3, 4}), floats({4})},
          .run = [run](const std::vector<Tensor>& in) { return run(in[0], in[1], 0.5); },
          .reference =
              [sign](const std::vector<Array>& in) {
                return elementwise(in[0], in[1], [&](double a, double b) { return a + sign * 0.5 * b; });
              }};
}

void add_choices(std::vector<OpCase>& out) {
  const auto choose = [](const Array& condition, const Array& a, const Array& b) {
    const Array zero_or_a = elementwise(condition, a, [](double c, double x) { return c != 0 ? x : 0; });
    const Array zero_or_b = elementwise(condition, b, [](double c, double x) { return c != 0 ? 0 : x; });
    return elementwise(zero_or_a, zero_or_b, [](double x, double y) { return x + y; });
  };
  for (const auto& [what, condition, a, b] : {std::tuple("same", Shape{3, 4}, Shape{3, 4}, Shape{3, 4}),
                                              std::tuple("broadcast", Shape{3, 1}, Shape{4}, Shape{2, 3, 4})}) {
    out.push_back({.op = "where",
                   .what = what,
                   .inputs = {booleans(condition), floats(a), floats(b)},
                   .run = [](const std::vector<Tensor>& in) { return where(in[0], in[1], in[2]); },
                   .reference = [choose](const std::vector<Array>& in) { return choose(in[0], in[1], in[2]); },
                   .dtypes = {DType::f32, DType::f64, DType::bf16, DType::f16}});
  }
  for (Input& input : out[out.size() - 2].inputs) input.when_empty({0, 4});
  out.push_back({.op = "masked_fill",
                 .what = "row mask",
                 .inputs = {floats({3, 4}).when_empty({0, 4}), booleans({4})},
                 .run = [](const std::vector<Tensor>& in) { return masked_fill(in[0], in[1], -7.5); },
                 .reference =
                     [choose](const std::vector<Array>& in) {
                       Array value{Shape{}};
                       value[0] = -7.5;
                       return choose(in[1], value, in[0]);
                     },
                 .dtypes = {DType::f32, DType::f64, DType::bf16, DType::f16}});
}

}  // namespace

std::vector<OpCase> binary_cases() {
  std::vector<OpCase> out;
  const auto plus = [](double a, double b) { return a + b; };
  const auto minus = [](double a, double b) { return a - b; };
  const auto times = [](double a, double b) { return a * b; };
  const auto over = [](double a, double b) { return a / b; };
  add_cases(
      out, "add", [](const Tensor& a, const Tensor& b) { return add(a, b); }, plus);
  add_cases(
      out, "sub", [](const Tensor& a, const Tensor& b) { return sub(a, b); }, minus);
  add_cases(out, "mul", mul, times);
  add_cases(out, "div", div, over, 0.5, 2);
  add_cases(out, "pow", pow, std::pow, 0.5, 2);
  add_cases(out, "maximum", maximum, std::fmax);
  add_cases(out, "minimum", minimum, std::fmin);
  for (size_t i = 0; i < out.size(); i += std::size(kShapes)) {
    out[i].inputs[0].when_large({700, 501});
    out[i].inputs[1].when_large({700, 501});
    out[i + 1].inputs[0].when_large({700, 501});
    out[i + 1].inputs[1].when_large({501});
  }
  add_cases(
      out, "lerp", [](const Tensor& a, const Tensor& b) { return lerp(a, b, 0.25); },
      [](double a, double b) { return a + 0.25 * (b - a); });
  add_cases(
      out, "lerp", [](const Tensor& a, const Tensor& b) { return lerp(a, b, 0.999); },
      [](double a, double b) { return a + 0.999 * (b - a); });
  out.push_back(scaled_case("add", add, 1));
  out.push_back(scaled_case("sub", sub, -1));
  add_number_case(out, "add", add, plus, 1.5);
  add_number_case(out, "sub", sub, minus, 1.5);
  add_number_case(out, "mul", mul, times, -2.5);
  add_number_case(out, "div", div, over, 4);
  add_number_case(
      out, "rsub", rsub, [](double a, double b) { return b - a; }, 1);
  add_number_case(
      out, "rdiv", rdiv, [](double a, double b) { return b / a; }, 3, 0.5);
  for (const double exponent : {0.0, 0.5, 1.0, 2.0, 3.0, -1.5})
    add_number_case(out, "pow", pow, std::pow, exponent, 0.5);
  add_comparison(out, "eq", eq, eq, [](double a, double b) { return double(a == b); });
  add_comparison(out, "ne", ne, ne, [](double a, double b) { return double(a != b); });
  add_comparison(out, "lt", lt, lt, [](double a, double b) { return double(a < b); });
  add_comparison(out, "le", le, le, [](double a, double b) { return double(a <= b); });
  add_comparison(out, "gt", gt, gt, [](double a, double b) { return double(a > b); });
  add_comparison(out, "ge", ge, ge, [](double a, double b) { return double(a >= b); });
  add_choices(out);
  return out;
}

}  // namespace rstorch::testing
