#include <cmath>

#include "cases.h"
#include "ops/ops.h"

namespace rstorch::testing {
namespace {

// exp(x) / sum exp(x) along `dim`, or its logarithm.
Array softmax_reference(const Array& x, int dim, const std::function<double(double, double)>& of_exp_and_sum) {
  const int64_t size = x.size(dim);
  int64_t inner = 1;
  for (int d = dim + 1; d < x.shape.dims(); ++d) inner *= x.size(d);
  Array y(x.shape);
  for (int64_t i = 0; i < x.numel(); ++i) {
    const int64_t first = i - i / inner % size * inner;
    double sum = 0;
    for (int64_t j = 0; j < size; ++j) sum += std::exp(x[first + j * inner]);
    y[i] = of_exp_and_sum(std::exp(x[i]), sum);
  }
  return y;
}

OpCase softmax_case(const Shape& shape, int dim) {
  return {.op = "softmax",
          .what = format("dim {}", dim),
          .inputs = {floats(shape).in_range(-5, 5).when_empty(dim == 0 ? Shape{3, 0, 4} : Shape{0, 21, 4})},
          .run = [=](const std::vector<Tensor>& in) { return softmax(in[0], dim); },
          .reference =
              [=](const std::vector<Array>& in) {
                return softmax_reference(in[0], dim, [](double e, double sum) { return e / sum; });
              }};
}

OpCase log_softmax_case(const Shape& shape, int dim) {
  return {.op = "log_softmax",
          .what = format("dim {}", dim),
          .inputs = {floats(shape).in_range(-5, 5).when_empty(dim == 0 ? Shape{3, 0, 4} : Shape{0, 21, 4})},
          .run = [=](const std::vector<Tensor>& in) { return log_softmax(in[0], dim); },
          .reference =
              [=](const std::vector<Array>& in) {
                return softmax_reference(in[0], dim, [](double e, double sum) { return std::log(e / sum); });
              }};
}

}  // namespace

std::vector<OpCase> softmax_cases() {
  std::vector<OpCase> out;
  for (const int dim : {0, 1, 2}) {
    out.push_back(softmax_case({3, 21, 4}, dim));
    out.push_back(log_softmax_case({3, 21, 4}, dim));
  }
  // Large values must not overflow.
  out.push_back({.op = "softmax",
                 .what = "large values",
                 .inputs = {floats({1, 3}).with({1000, 1001, 999})},
                 .run = [](const std::vector<Tensor>& in) { return softmax(in[0], -1); },
                 .reference =
                     [](const std::vector<Array>& in) {
                       Array shifted(in[0].shape);
                       for (int64_t i = 0; i < 3; ++i) shifted[i] = in[0][i] - 1000;
                       return softmax_reference(shifted, 1, [](double e, double sum) { return e / sum; });
                     },
                 .half_error = 2e-4,
                 .gradient = {1e-3, 1e-5}});
  return out;
}

}  // namespace rstorch::testing
