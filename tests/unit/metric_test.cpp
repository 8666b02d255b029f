// Metrics against counts done by hand, over any cut into batches and ranks.
#include "train/metric.h"

#include <cmath>
#include <limits>

#include <doctest/doctest.h>

#include "nn/cross_entropy_loss.h"
#include "nn/layers.h"
#include "nn/sequential.h"
#include "train/evaluator.h"

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

TEST_CASE("targets that do not count are left out, whatever their value") {
  const Tensor output = floats({9, 0, 1, 0, 9, 1, 0, 1, 9, 9, 0, 1}, {4, 3});  // finds 0, 1, 2, 0
  const Tensor target = labels({0, -100, 1, -100});
  const Tensor counted = Tensor::from<int64_t>({1, 0, 1, 0}).to(kBool);
  Accuracy first, second({.top_k = 2});
  first.add(output, target, counted);
  second.add(output, target, counted);
  CHECK(first.value() == 0.5);
  CHECK(second.value() == 1);
  first.add(output, labels({0, 1, 2, 0}));  // all of this batch count
  CHECK(first.value() == doctest::Approx(5.0 / 6));
  Accuracy none;
  none.add(output, target, Tensor::zeros({4}, {kBool}));
  CHECK(std::isnan(none.value()));

  const Tensor positions = floats({1, 0, 0, 0, 1, 1}, {1, 2, 3});  // [batch, classes, time]: finds 0, 1, 1
  Accuracy in_time;
  in_time.add(positions, Tensor::from<int64_t>({0, -100, 0}, {1, 3}),
              Tensor::from<int64_t>({1, 0, 1}, {1, 3}).to(kBool));
  CHECK(in_time.value() == 0.5);

  MeanSquaredError mse;
  MeanAbsoluteError mae;
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (Metric* metric : {static_cast<Metric*>(&mse), static_cast<Metric*>(&mae)}) {
    metric->add(floats({1, 2, 3, 4}, {4}), floats({1, nan, 6, 5}, {4}), Tensor::from<int64_t>({1, 0, 1, 0}).to(kBool));
  }
  CHECK(mse.value() == 4.5);
  CHECK(mae.value() == 1.5);
}

TEST_CASE("evaluation leaves out the targets that the loss ignores") {
  // x is the output; the third and the fifth sample are ignored.
  class Samples final : public data::Dataset {
   public:
    explicit Samples(int64_t ignored) : ignored_(ignored) {}
    int64_t size() const override { return 5; }
    const data::SampleSpec& spec() const override { return spec_; }
    std::string describe() const override { return "five"; }
    data::Sample get(int64_t index, uint64_t) const override {
      const std::vector<int64_t> targets = {0, 1, ignored_, 1, ignored_};
      const std::vector<float> rows = {2, 0, 2, 0, 2, 0, 0, 2, 2, 0};  // finds 0, 0, 0, 1, 0
      return {Tensor::from(rows, {5, 2})[index], Tensor::scalar(targets[size_t(index)], {kInt64})};
    }

   private:
    int64_t ignored_;
    data::SampleSpec spec_ = {.x_shape = {2}, .classes = 2};
  };
  nn::Sequential model{nn::Flatten()};
  config::Report report;
  const auto accuracy = metrics().read(config::Value("accuracy"), report);
  REQUIRE(report.ok());
  for (const int64_t ignored : {int64_t(-100), int64_t(7)}) {
    const nn::CrossEntropyLoss loss({.ignore_index = ignored});
    const dist::GroupPtr alone = dist::single();
    Evaluator evaluator(model, Arithmetic(Precision::fp32, kCPU), loss, {accuracy}, kCPU, *alone);
    const Samples samples(ignored);
    const std::optional<Metrics> values = evaluator.evaluate(data::DataLoader(samples, {.batch_size = 2}));
    REQUIRE(values);
    CHECK(*find_metric(*values, "accuracy") == doctest::Approx(2.0 / 3));  // 0 of 0, 1 of 0, 1 of 1
    // -log softmax: log(1 + e^-2) where it is right, 2 more where it is not.
    CHECK(*find_metric(*values, "loss") == doctest::Approx(std::log1p(std::exp(-2)) + 2.0 / 3));
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
