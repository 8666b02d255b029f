#include <cmath>

#include "cases.h"
#include "ops/ops.h"

namespace rstorch::testing {
namespace {

// x [batch, channels, ...]: (x - mean) / sqrt(var + eps) * weight + bias, with the statistics of each channel.
Array batch_norm_reference(const Array& x, const Array* weight, const Array* bias, const Array* mean,
                           const Array* var) {
  const int64_t batch = x.size(0), channels = x.size(1), inner = x.numel() / std::max<int64_t>(batch * channels, 1);
  Array y(x.shape);
  for (int64_t c = 0; c < channels; ++c) {
    double sum = 0, squares = 0;
    const auto at = [&](int64_t n, int64_t i) { return (n * channels + c) * inner + i; };
    for (int64_t n = 0; n < batch; ++n) {
      for (int64_t i = 0; i < inner; ++i) sum += x[at(n, i)];
    }
    const double m = mean ? (*mean)[c] : sum / double(batch * inner);
    for (int64_t n = 0; n < batch; ++n) {
      for (int64_t i = 0; i < inner; ++i) squares += (x[at(n, i)] - m) * (x[at(n, i)] - m);
    }
    const double v = var ? (*var)[c] : squares / double(batch * inner);
    for (int64_t n = 0; n < batch; ++n) {
      for (int64_t i = 0; i < inner; ++i) {
        y[at(n, i)] = (x[at(n, i)] - m) / std::sqrt(v + 1e-5) * (weight ? (*weight)[c] : 1) + (bias ? (*bias)[c] : 0);
      }
    }
  }
  return y;
}

OpCase batch_norm_case(const std::string& what, const Shape& shape) {
  const Shape channels = {shape[1]};
  Shape no_samples = shape;
  no_samples[0] = 0;
  return {
      .op = "batch_norm",
      .what = what + ", training",
      .inputs = {floats(shape).when_empty(no_samples), floats(channels), floats(channels)},
      .run = [](const std::vector<Tensor>& in) { return batch_norm(in[0], in[1], in[2], {}, {}, {.training = true}); },
      .reference =
          [](const std::vector<Array>& in) { return batch_norm_reference(in[0], &in[1], &in[2], nullptr, nullptr); },
      .f32 = {2e-5, 2e-5}};
}

Array layer_norm_reference(const Array& x, int64_t columns, const Array* weight, const Array* bias) {
  Array y(x.shape);
  for (int64_t row = 0; row * columns < x.numel(); ++row) {
    double sum = 0, squares = 0;
    for (int64_t c = 0; c < columns; ++c) sum += x[row * columns + c];
    const double mean = sum / double(columns);
    for (int64_t c = 0; c < columns; ++c) squares += (x[row * columns + c] - mean) * (x[row * columns + c] - mean);
    for (int64_t c = 0; c < columns; ++c) {
      y[row * columns + c] =
          (x[row * columns + c] - mean) / std::sqrt(squares / double(columns) + 1e-5) * (weight ? (*weight)[c] : 1) +
          (bias ? (*bias)[c] : 0);
    }
  }
  return y;
}

class OneRank final : public BatchPeers {
  Tensor gather(const Tensor& mine) override { return unsqueeze(mine, 0); }
  void sum(const Tensor&) override {}
};

}  // namespace

std::vector<OpCase> norm_cases() {
  return {
      batch_norm_case("rows", {6, 5}),
      batch_norm_case("sequences", {3, 4, 7}),
      batch_norm_case("images", {2, 19, 3, 5}),
      {.op = "batch_norm",
       .what = "channels-last",
       .inputs = {floats({2, 19, 3, 5}).contiguous_only().when_large({64, 16, 28, 28}), floats({19}).when_large({16}),
                  floats({19}).when_large({16})},
       .run =
           [](const std::vector<Tensor>& in) {
             return batch_norm(channels_last(in[0]), in[1], in[2], {}, {}, {.training = true});
           },
       .reference =
           [](const std::vector<Array>& in) { return batch_norm_reference(in[0], &in[1], &in[2], nullptr, nullptr); },
       .f32 = {2e-5, 2e-5}},
      {.op = "batch_norm",
       .what = "eval",
       .inputs = {floats({2, 3, 4, 5}).when_empty({0, 3, 4, 5}), floats({3}), floats({3}), floats({3}).without_grad(),
                  floats({3}).in_range(0.5, 2).without_grad()},
       .run = [](const std::vector<Tensor>& in) { return batch_norm(in[0], in[1], in[2], in[3], in[4]); },
       .reference =
           [](const std::vector<Array>& in) { return batch_norm_reference(in[0], &in[1], &in[2], &in[3], &in[4]); }},
      {.op = "batch_norm",
       .what = "shared by one rank",  // by several: tests/unit/sync_batch_norm_test.cpp
       .inputs = {floats({4, 3, 2, 2}).when_empty({0, 3, 2, 2}), floats({3}), floats({3})},
       .run =
           [](const std::vector<Tensor>& in) {
             return batch_norm(in[0], in[1], in[2], {}, {}, {.training = true, .peers = std::make_shared<OneRank>()});
           },
       .reference =
           [](const std::vector<Array>& in) { return batch_norm_reference(in[0], &in[1], &in[2], nullptr, nullptr); },
       .f32 = {2e-5, 2e-5}},
      {.op = "batch_norm",
       .what = "no weight",
       .inputs = {floats({4, 3, 2, 2}).when_empty({0, 3, 2, 2})},
       .run = [](const std::vector<Tensor>& in) { return batch_norm(in[0], {}, {}, {}, {}, {.training = true}); },
       .reference =
           [](const std::vector<Array>& in) { return batch_norm_reference(in[0], nullptr, nullptr, nullptr, nullptr); },
       .f32 = {2e-5, 2e-5}},
      {.op = "layer_norm",
       .what = "",
       .inputs = {floats({3, 4, 37}).when_empty({0, 4, 37}).when_large({4, 256, 384}), floats({37}).when_large({384}),
                  floats({37}).when_large({384})},
       .run = [](const std::vector<Tensor>& in) { return layer_norm(in[0], {in[0].size(-1)}, in[1], in[2]); },
       .reference =
           [](const std::vector<Array>& in) { return layer_norm_reference(in[0], in[0].size(-1), &in[1], &in[2]); },
       .f32 = {2e-5, 2e-5}},
      {.op = "layer_norm",
       .what = "two dimensions, no weight",
       .inputs = {floats({5, 3, 4}).when_empty({0, 3, 4})},
       .run =
           [](const std::vector<Tensor>& in) {
             return layer_norm(in[0], {3, 4});
           },
       .reference = [](const std::vector<Array>& in) { return layer_norm_reference(in[0], 12, nullptr, nullptr); },
       .f32 = {2e-5, 2e-5}},
  };
}

}  // namespace rstorch::testing
