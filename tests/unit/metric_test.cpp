// Metrics against counts done by hand, over any cut into batches and ranks.
#include "train/metric.h"

#include <cmath>
#include <limits>

#include <doctest/doctest.h>

using namespace rstorch;

namespace {

Tensor floats(const std::vector<float>& values, const Shape& shape) { return Tensor::from(values, shape); }
Tensor labels(const std::vector<int64_t>& values) { return Tensor::from(values, {int64_t(values.size())}); }

double accuracy(const Tensor& output, const Tensor& target, int64_t top_k = 1) {
  Accuracy metric({.top_k = top_k});
  metric.add(output, target);
  return metric.value();
}

}  // namespace

TEST_CASE("mean: batches of any size weigh by their samples") {
  Mean mean;
  CHECK(std::isnan(mean.value()));
  mean.add_mean(Tensor::scalar(2.0f), Tensor::scalar(3.0f));
  mean.add_mean(Tensor::scalar(10.0f), Tensor::scalar(1.0f));
  CHECK(mean.value() == 4);
  mean.add_sum(Tensor::scalar(int64_t(8), {.dtype = DType::i64}), 4);
  CHECK(mean.value() == 3);
  mean.add_sum(Tensor::scalar(16.0f), Tensor::scalar(int64_t(2), {.dtype = DType::i64}));
  CHECK(mean.value() == 4);
  mean.add_sum(Tensor::scalar(-16.0f), -2);

  Mean other;
  other.add_sum(Tensor::scalar(1.0), 4);
  mean.merge(other.totals());
  CHECK(mean.value() == doctest::Approx(25.0 / 12));
  const void* const address = mean.totals().raw_data();
  mean.reset();
  CHECK(std::isnan(mean.value()));
  mean.add_mean(Tensor::scalar(5.0f), Tensor::scalar(2.0f));
  CHECK(mean.value() == 5);
  CHECK(mean.totals().raw_data() == address);
}

TEST_CASE("mean: many small f32 losses lose nothing") {
  Mean mean;
  for (int i = 0; i < 10000; ++i) mean.add_mean(Tensor::scalar(0.1f), Tensor::scalar(1.0f));
  CHECK(mean.value() == doctest::Approx(double(0.1f)).epsilon(1e-12));
}

TEST_CASE("accuracy: top k, ties and nan") {
  const Tensor output = floats({1, 3, 2, 0, 9, 5, 4, 4, 4}, {3, 3});
  CHECK(accuracy(output, labels({1, 1, 0})) == 1);
  CHECK(accuracy(output, labels({2, 0, 1})) == 0);
  CHECK(accuracy(output, labels({2, 2, 2}), 2) == doctest::Approx(2.0 / 3));  // equal outputs: the first two are found
  CHECK(accuracy(output, labels({2, 0, 2}), 3) == 1);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  CHECK(accuracy(floats({nan, nan, nan}, {1, 3}), labels({1})) == 0);
  CHECK(accuracy(floats({0, nan, 1}, {1, 3}), labels({2})) == 0);
  CHECK(Accuracy().name() == "accuracy");
  CHECK(Accuracy({.top_k = 5}).name() == "accuracy_top5");
}

TEST_CASE("accuracy: per position, and of logits against 0 and 1") {
  const Tensor output = floats({1, 0, 0, 1}, {1, 2, 2});  // [batch, classes, time]: class 0 first, then class 1
  CHECK(accuracy(output, Tensor::from(std::vector<int64_t>{0, 1}, {1, 2})) == 1);
  CHECK(accuracy(output, Tensor::from(std::vector<int64_t>{0, 0}, {1, 2})) == 0.5);
  CHECK(accuracy(floats({-2, 0.1f, 3}, {3, 1}), floats({0, 1, 0}, {3, 1})) == doctest::Approx(2.0 / 3));
}

TEST_CASE("accuracy: exact over ragged batches") {
  const Tensor output = floats({1, 0, 0, 1, 1, 0, 1, 0, 0, 1}, {5, 2});
  const Tensor target = labels({0, 0, 0, 1, 1});
  for (const int64_t size : {1, 2, 3, 5}) {
    Accuracy metric;
    for (int64_t at = 0; at < 5; at += size) {
      const int64_t length = std::min(size, 5 - at);
      metric.add(output.narrow(0, at, length), target.narrow(0, at, length));
    }
    CHECK(metric.value() == doctest::Approx(0.6));
  }
}

TEST_CASE("mse and mae") {
  const Tensor output = floats({1, 2, 3, 4}, {2, 2}), target = floats({1, 0, 6, 4}, {2, 2});
  MeanSquaredError mse;
  mse.add(output, target);
  CHECK(mse.value() == doctest::Approx(13.0 / 4));
  MeanAbsoluteError mae;
  mae.add(output, target);
  CHECK(mae.value() == doctest::Approx(5.0 / 4));
  CHECK(!mse.higher_is_better());
  CHECK_THROWS_AS(mse.add(floats({1, 2}, {2, 1}), floats({1, 2}, {2})), ShapeError);
}

TEST_CASE("metrics: named in a config") {
  config::Report report;
  const auto made = metrics().make(config::Value::map({{"accuracy", config::Value::map({{"top_k", 5}})}}), report);
  REQUIRE(made);
  CHECK(made->name() == "accuracy_top5");
  for (const std::string_view name : metrics().names()) CHECK(metrics().make(config::Value(name), report));
  CHECK(report.ok());
}
