#include <cmath>

#include "cases.h"
#include "ops/ops.h"

namespace rstorch::testing {
namespace {

// a [batch..., rows, inner], b [batch..., inner, columns], where each batch dimension of a and b is equal or 1.
Array product(const Array& a, const Array& b) {
  const int64_t rows = a.size(-2), inner = a.size(-1), columns = b.size(-1);
  Shape shape =
      broadcast_shapes(a.shape.slice(0, a.shape.dims() - 2), b.shape.slice(0, b.shape.dims() - 2), "reference");
  const Shape batch = shape;
  shape.push_back(rows);
  shape.push_back(columns);
  Array y(shape);
  for (int64_t n = 0; n < batch.numel(); ++n) {
    int64_t rest = n, in_a = 0, in_b = 0, step_a = 1, step_b = 1;
    for (int i = batch.dims() - 1; i >= 0; --i) {
      const int64_t index = rest % batch[i];
      rest /= batch[i];
      const auto advance = [&](const Array& x, int64_t& at, int64_t& step) {
        const int dim = i - (batch.dims() - (x.shape.dims() - 2));
        if (dim < 0) return;
        if (x.shape[dim] > 1) at += index * step;
        step *= x.shape[dim];
      };
      advance(a, in_a, step_a);
      advance(b, in_b, step_b);
    }
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t j = 0; j < columns; ++j) {
        for (int64_t k = 0; k < inner; ++k) {
          y[(n * rows + i) * columns + j] += a[(in_a * rows + i) * inner + k] * b[(in_b * inner + k) * columns + j];
        }
      }
    }
  }
  return y;
}

Array reshaped(Array x, const Shape& shape) {
  x.shape = shape;
  return x;
}

OpCase matmul_case(const std::string& what, Input a, Input b) {
  const bool vector_a = a.shape.dims() == 1, vector_b = b.shape.dims() == 1;
  return {.op = "matmul",
          .what = what,
          .inputs = {std::move(a), std::move(b)},
          .run = [](const std::vector<Tensor>& in) { return matmul(in[0], in[1]); },
          .reference =
              [=](const std::vector<Array>& in) {
                const Array left = vector_a ? reshaped(in[0], {1, in[0].size(0)}) : in[0];
                const Array right = vector_b ? reshaped(in[1], {in[1].size(0), 1}) : in[1];
                Array y = product(left, right);
                if (vector_a) y.shape.erase(y.shape.dims() - 2);
                if (vector_b) y.shape.erase(y.shape.dims() - 1);
                return y;
              },
          .f32 = {1e-5, 1e-5}};
}

OpCase integer_matmul_case() {
  OpCase out = matmul_case("integers", integers({3, 4}, -5, 5), integers({4, 2}, -5, 5));
  out.differentiable = false;
  out.dtypes = {DType::f32};
  return out;
}

OpCase linear_case(const std::string& op, const std::string& what, std::vector<Input> inputs) {
  const bool relu_after = op == "linear_relu", gelu_after = op == "linear_gelu_tanh";
  return {.op = op,
          .what = what,
          .inputs = std::move(inputs),
          .run =
              [=](const std::vector<Tensor>& in) {
                if (gelu_after) return linear_gelu_tanh(in[0], in[1], in[2]);
                return relu_after ? linear_relu(in[0], in[1], in[2]) : linear(in[0], in[1], in[2]);
              },
          .reference =
              [=](const std::vector<Array>& in) {
                const Array &x = in[0], &w = in[1], &bias = in[2];
                const int64_t features = x.size(-1), out = w.size(0);
                Shape shape = x.shape;
                shape[shape.dims() - 1] = out;
                Array y(shape);
                for (int64_t i = 0; i < y.numel(); ++i) {
                  double sum = bias.numel() > 1 || out == 1 ? bias[i % out] : 0;
                  for (int64_t k = 0; k < features; ++k) sum += x[i / out * features + k] * w[i % out * features + k];
                  if (relu_after && sum < 0) sum = 0;
                  if (gelu_after)
                    sum *= 0.5 * (1 + std::tanh(std::sqrt(2 / M_PI) * (sum + 0.044715 * sum * sum * sum)));
                  y[i] = sum;
                }
                return y;
              },
          .f32 = {1e-5, 1e-5},
          .flops = 2.0 * 64 * 512 * 784};
}

// nan stays: a network that diverges must not look healthy behind its ReLU.
OpCase linear_relu_of_nan(const std::string& what, std::vector<Input> inputs) {
  OpCase out = linear_case("linear_relu", what, std::move(inputs));
  out.differentiable = false;
  return out;
}

}  // namespace

std::vector<OpCase> matmul_cases() {
  const auto large = [](Input input, const Shape& shape) { return input.when_large(shape); };
  return {
      matmul_case("", large(floats({3, 4}), {64, 784}), large(floats({4, 5}), {784, 512})),
      matmul_case("more than a tile", floats({15, 40}), floats({40, 35})),
      matmul_case("deep", floats({2, 900}), floats({900, 3})),
      matmul_case("nothing to sum", floats({3, 0}), floats({0, 2})),
      matmul_case("no rows", floats({3, 4}).when_empty({0, 4}), floats({4, 2}).when_empty({4, 2})),
      matmul_case("matrix and vector", floats({3, 4}), floats({4})),
      matmul_case("vector and matrix", floats({3}), floats({3, 4})),
      matmul_case("two vectors", floats({5}), floats({5})),
      matmul_case("batched", large(floats({2, 3, 4}), {24, 64, 32}), large(floats({2, 4, 2}), {24, 32, 64})),
      matmul_case("batch and matrix", floats({2, 3, 4}), floats({4, 2})),
      matmul_case("batch and vector", floats({2, 3, 4}), floats({4})),
      matmul_case("broadcast over the batch", floats({2, 1, 3, 4}), floats({3, 4, 2})),
      integer_matmul_case(),
      linear_case("linear", "",
                  {large(floats({5, 4}), {64, 784}), large(floats({3, 4}), {512, 784}), large(floats({3}), {512})}),
      linear_case("linear", "no bias", {floats({2, 3, 4}), floats({6, 4}), absent()}),
      linear_case("linear", "a vector", {floats({4}), floats({3, 4}), floats({3})}),
      linear_case("linear", "no samples",
                  {floats({5, 4}).when_empty({0, 4}), floats({3, 4}).when_empty({3, 4}), floats({3}).when_empty({3})}),
      linear_case("linear_relu", "",
                  {large(floats({7, 6}), {64, 784}), large(floats({20, 6}), {512, 784}), large(floats({20}), {512})}),
      linear_case("linear_relu", "no samples", {floats({5, 4}).when_empty({0, 4}), floats({3, 4}), floats({3})}),
      linear_case("linear_relu", "no bias", {floats({2, 3, 4}), floats({6, 4}), absent()}),
      linear_case("linear_gelu_tanh", "",
                  {large(floats({7, 6}), {64, 784}), large(floats({20, 6}), {512, 784}), large(floats({20}), {512})}),
      linear_case("linear_gelu_tanh", "beside the result", {floats({9, 6}), floats({40, 6}), floats({40})}),
      linear_case("linear_gelu_tanh", "no samples", {floats({5, 4}).when_empty({0, 4}), floats({3, 4}), floats({3})}),
      linear_case("linear_gelu_tanh", "nothing to sum", {floats({5, 0}), floats({16, 0}), floats({16})}),
      linear_case("linear_gelu_tanh", "no bias", {floats({2, 3, 4}), floats({8, 4}), absent()}),
      linear_relu_of_nan("nan", {floats({7, 6}).with_nan(), floats({20, 6}), floats({20})}),
      linear_relu_of_nan("nan, no bias", {floats({7, 6}).with_nan(), floats({3, 6}), absent()}),
  };
}

}  // namespace rstorch::testing
