#include <cmath>

#include "cases.h"
#include "ops/ops.h"
#include "random_reference.h"

namespace rstorch::testing {
namespace {

// query [heads, length, features] and so on; heads are all dimensions but the last two. `mask` has the scores' shape or
// is empty: true where above 0 if it is one of bools.
struct AttentionReference {
  AttentionOptions options;
  bool is_bool = false;

  Array operator()(const std::vector<Array>& in) const {
    const Array &q = in[0], &k = in[1], &v = in[2];
    const int64_t length = q.size(-2), keys = k.size(-2), features = q.size(-1), values = v.size(-1);
    Shape shape = q.shape;
    shape[q.shape.dims() - 1] = values;
    Array y(shape);
    const int64_t heads = length > 0 ? shape.slice(0, shape.dims() - 2).numel() : 0;
    const double scale = options.scale.value_or(1 / std::sqrt(double(features)));
    for (int64_t row = 0; row < heads * length; ++row) {
      const int64_t head = row / length, i = row % length;
      std::vector<double> p(static_cast<size_t>(keys));
      double sum = 0;
      for (int64_t j = 0; j < keys; ++j) {
        double score = 0;
        for (int64_t e = 0; e < features; ++e) score += q[row * features + e] * k[(head * keys + j) * features + e];
        score *= scale;
        bool hidden = options.is_causal && j > i;
        if (in.size() > 3 && in[3].numel() > 0) {
          const Array& m = in[3];  // [length, keys], or of each head
          const double value = m[m.shape.dims() == 2 ? i * keys + j : row * keys + j];
          if (is_bool) hidden = hidden || value == 0;
          if (!is_bool) score += value;
        }
        p[size_t(j)] = hidden ? 0 : std::exp(score);
        sum += p[size_t(j)];
      }
      for (int64_t j = 0; j < keys && sum > 0; ++j) {
        double weight = p[size_t(j)] / sum;
        if (options.dropout_p > 0) {
          const uint64_t first = options.key.first * uint64_t(heads * length * keys / shape[0]);
          weight *= dropout_factor(options.key, options.dropout_p, first + uint64_t(row * keys + j));
        }
        for (int64_t e = 0; e < values; ++e) y[row * values + e] += weight * v[(head * keys + j) * values + e];
      }
    }
    return y;
  }
};

OpCase attention_case(const std::string& what, std::vector<Input> inputs, const AttentionOptions& options = {}) {
  const bool is_bool = inputs.size() > 3 && inputs[3].kind == Input::Kind::boolean;
  return {.op = "scaled_dot_product_attention",
          .what = what,
          .inputs = std::move(inputs),
          .run =
              [options](const std::vector<Tensor>& in) {
                return scaled_dot_product_attention(in[0], in[1], in[2], in.size() > 3 ? in[3] : Tensor(), options);
              },
          .reference = AttentionReference{options, is_bool}};
}

// query, key, value
std::vector<Input> of_sizes(const Shape& heads, int64_t length, int64_t keys, int64_t features, int64_t values) {
  const auto input = [&](int64_t rows, int64_t columns) {
    Shape shape = heads;
    shape.push_back(rows);
    shape.push_back(columns);
    return floats(shape);
  };
  return {input(length, features), input(keys, features), input(keys, values)};
}

std::vector<Input> beside(std::vector<Input> inputs, const Input& mask) {
  inputs.push_back(mask);
  return inputs;
}

}  // namespace

std::vector<OpCase> attention_cases() {
  const RandomKey key{.seed = 7, .purpose = Purpose::dropout, .layer = 3, .step = 5, .first = 2};
  const double none = -std::numeric_limits<double>::infinity();
  std::vector<OpCase> out = {
      attention_case("plain",
                     {floats({2, 3, 4, 5}).when_empty({2, 3, 0, 5}), floats({2, 3, 6, 5}), floats({2, 3, 6, 7})}),
      attention_case("no keys",
                     {floats({2, 2, 3, 4}).when_empty({2, 2, 3, 4}), floats({2, 2, 1, 4}).when_empty({2, 2, 0, 4}),
                      floats({2, 2, 1, 5}).when_empty({2, 2, 0, 5})}),
      attention_case("three dimensions, scale", of_sizes({3}, 5, 4, 3, 3), {.scale = 0.3}),
      attention_case("five dimensions", of_sizes({2, 1, 2}, 3, 4, 2, 5)),
      attention_case("causal", of_sizes({2, 2}, 6, 6, 4, 4), {.is_causal = true}),
      attention_case("causal, more keys", of_sizes({1, 2}, 3, 7, 4, 5), {.is_causal = true}),
      attention_case("causal, more queries", of_sizes({1, 2}, 7, 3, 4, 5), {.is_causal = true}),
      attention_case("bool mask", beside(of_sizes({2, 2}, 4, 5, 3, 4), booleans({2, 2, 4, 5}))),
      // The second query sees no key.
      attention_case("hidden query",
                     beside(of_sizes({2, 2}, 3, 4, 3, 2), booleans({3, 4}).with({1, 0, 1, 1, 0, 0, 0, 0, 0, 0, 1, 0}))),
      attention_case("mask of numbers",
                     beside(of_sizes({2, 2}, 2, 3, 3, 2),
                            floats({2, 3}).with({0.5, none, -2, none, none, none}).without_grad().contiguous_only())),
      attention_case("dropout", of_sizes({3, 2}, 4, 5, 3, 4), {.dropout_p = 0.4, .key = key}),
      attention_case("dropout of all", of_sizes({2, 1}, 3, 3, 2, 2), {.dropout_p = 1, .key = key}),
  };
  const Shape large = {4, 6, 256, 64};
  OpCase causal = attention_case("causal, large",
                                 {floats({1, 1, 3, 2}).when_large(large), floats({1, 1, 3, 2}).when_large(large),
                                  floats({1, 1, 3, 2}).when_large(large)},
                                 {.is_causal = true});
  causal.half_error = 4e-3;
  causal.flops = 2 * 2 * 4 * 6 * 64 * 256 * 257 / 2.0;
  out.push_back(causal);
  for (OpCase& op_case : out) op_case.f32 = {2e-5, 2e-6};
  return out;
}

}  // namespace rstorch::testing
