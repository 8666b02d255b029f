#include <cmath>

#include "cases.h"
#include "ops/ops.h"

namespace rstorch::testing {
namespace {

constexpr int64_t kIgnored = -100;

// logits [batch, classes, inner]: the loss of each target, and the weights that the mean divides by.
struct Entropies {
  std::vector<double> losses;
  double weights = 0;
};

Entropies entropies(const Array& logits, const Array& target, const Array* weight, double smoothing) {
  const int64_t batch = logits.size(0), classes = logits.size(1);
  const int64_t inner = logits.numel() / std::max<int64_t>(batch * classes, 1);
  Entropies out;
  for (int64_t row = 0; row < batch * inner; ++row) {
    const auto x = [&](int64_t c) { return logits[(row / inner * classes + c) * inner + row % inner]; };
    const auto w = [&](int64_t c) { return weight ? (*weight)[c] : 1.0; };
    const auto label = int64_t(target[row]);
    out.losses.push_back(0);
    if (label == kIgnored) continue;
    double sum = 0;
    for (int64_t c = 0; c < classes; ++c) sum += std::exp(x(c));
    for (int64_t c = 0; c < classes; ++c) {
      const double wanted = (c == label ? 1 - smoothing : 0) + smoothing / double(classes);
      out.losses.back() -= wanted * w(c) * std::log(std::exp(x(c)) / sum);
    }
    out.weights += w(label);
  }
  return out;
}

Array reduced(const Entropies& all, const Shape& each, Reduction reduction) {
  if (reduction == Reduction::none) {
    Array y(each);
    y.values = all.losses;
    return y;
  }
  double sum = 0;
  for (const double loss : all.losses) sum += loss;
  Array y((Shape()));
  y[0] = reduction == Reduction::mean ? sum / all.weights : sum;
  return y;
}

struct EntropyCase {
  std::string what;
  Shape logits, target;
  std::vector<double> labels;
  bool weighted = false;
  CrossEntropyOptions options = {};
};

Shape no_samples(Shape shape) {
  shape[0] = 0;
  return shape;
}

OpCase cross_entropy_case(const EntropyCase& c) {
  const Input weight = c.weighted ? floats({c.logits[1]}).in_range(0.5, 2).without_grad() : absent();
  return {.op = "cross_entropy",
          .what = c.what,
          .inputs = {floats(c.logits).when_empty(no_samples(c.logits)),
                     integers(c.target, 0, c.logits[1]).with(c.labels).when_empty(no_samples(c.target)), weight},
          .run = [o = c.options](const std::vector<Tensor>& in) { return cross_entropy(in[0], in[1], in[2], o); },
          .reference =
              [c](const std::vector<Array>& in) {
                const Entropies all = entropies(in[0], in[1], c.weighted ? &in[2] : nullptr, c.options.label_smoothing);
                return reduced(all, in[1].shape, c.options.reduction);
              }};
}

Array mean_of(const Array& x) {
  Array y((Shape()));
  for (int64_t i = 0; i < x.numel(); ++i) y[0] += x[i] / double(x.numel());
  return y;
}

double binary_entropy(double x, double t, double pos_weight) {
  const double p = 1 / (1 + std::exp(-x));
  return -(pos_weight * t * std::log(p) + (1 - t) * std::log(1 - p));
}

}  // namespace

std::vector<OpCase> loss_cases() {
  const OpCase pos_weight = {
      .op = "binary_cross_entropy_with_logits",
      .what = "pos_weight, none",
      .inputs = {floats({4, 3}).in_range(-4, 4).when_empty({0, 3}).when_large({4096, 1000}),
                 floats({4, 3}).in_range(0, 1).without_grad().when_empty({0, 3}).when_large({4096, 1000}),
                 floats({3}).with({0.5, 1, 3}).without_grad().when_large({1000})},
      .run =
          [](const std::vector<Tensor>& in) {
            return binary_cross_entropy_with_logits(in[0], in[1], in[2], Reduction::none);
          },
      .reference =
          [](const std::vector<Array>& in) {
            Array y(in[0].shape);
            for (int64_t i = 0; i < y.numel(); ++i)
              y[i] = binary_entropy(in[0][i], in[1][i], in[2][i % in[2].numel()]);
            return y;
          }};
  OpCase one_pos_weight = pos_weight;
  one_pos_weight.what = "one pos_weight";
  one_pos_weight.inputs = {floats({4, 3}).in_range(-4, 4), floats({4, 3}).in_range(0, 1).without_grad(),
                           floats({}).with({3}).without_grad()};
  return {
      cross_entropy_case({"", {4, 7}, {4}, {1, 6, 0, 3}}),
      cross_entropy_case({"one class", {3, 1}, {3}, {0, 0, 0}}),
      cross_entropy_case({"sum", {4, 7}, {4}, {1, 6, 0, 3}, false, {.reduction = Reduction::sum}}),
      cross_entropy_case({"none", {4, 7}, {4}, {1, double(kIgnored), 0, 3}, false, {.reduction = Reduction::none}}),
      cross_entropy_case({"ignored", {4, 7}, {4}, {1, double(kIgnored), 0, 3}}),
      cross_entropy_case(
          {"smoothing and weight", {4, 7}, {4}, {1, double(kIgnored), 0, 3}, true, {.label_smoothing = 0.2}}),
      cross_entropy_case({"images", {2, 3, 2, 2}, {2, 2, 2}, {0, 1, 2, 0, 1, 2, 2, 1}, true, {.label_smoothing = 0.1}}),
      {.op = "mse_loss",
       .what = "",
       .inputs = {floats({3, 5}), floats({3, 5})},
       .run = [](const std::vector<Tensor>& in) { return mse_loss(in[0], in[1]); },
       .reference =
           [](const std::vector<Array>& in) {
             return mean_of(elementwise(in[0], in[1], [](double a, double b) { return (a - b) * (a - b); }));
           }},
      {.op = "mse_loss",
       .what = "none",
       .inputs = {floats({3, 5}).when_empty({0, 5}), floats({3, 5}).when_empty({0, 5})},
       .run = [](const std::vector<Tensor>& in) { return mse_loss(in[0], in[1], Reduction::none); },
       .reference =
           [](const std::vector<Array>& in) {
             return elementwise(in[0], in[1], [](double a, double b) { return (a - b) * (a - b); });
           }},
      {.op = "binary_cross_entropy_with_logits",
       .what = "",
       .inputs = {floats({4, 3}).in_range(-4, 4).when_large({4096, 1000}),
                  floats({4, 3}).in_range(0, 1).without_grad().when_large({4096, 1000})},
       .run = [](const std::vector<Tensor>& in) { return binary_cross_entropy_with_logits(in[0], in[1]); },
       .reference =
           [](const std::vector<Array>& in) {
             return mean_of(elementwise(in[0], in[1], [](double x, double t) { return binary_entropy(x, t, 1); }));
           }},
      pos_weight,
      {.op = "binary_cross_entropy_with_logits",
       .what = "pos_weight of channels, mean",
       .inputs = {floats({2, 3, 5}).in_range(-4, 4).when_large({40, 3, 700}),
                  floats({2, 3, 5}).in_range(0, 1).without_grad().when_large({40, 3, 700}),
                  floats({3, 1}).with({0.5, 1, 3}).without_grad()},
       .run = [](const std::vector<Tensor>& in) { return binary_cross_entropy_with_logits(in[0], in[1], in[2]); },
       .reference =
           [](const std::vector<Array>& in) {
             Array y(in[0].shape);
             for (int64_t i = 0; i < y.numel(); ++i)
               y[i] = binary_entropy(in[0][i], in[1][i], in[2][i / y.size(2) % y.size(1)]);
             return mean_of(y);
           }},
      one_pos_weight,
  };
}

}  // namespace rstorch::testing
