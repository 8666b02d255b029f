// Metrics: exact means over any number of samples, however they were cut into batches or ranks.
//
// A metric keeps a sum and a count, both on the device of what it measures: add() never waits for the device, value()
// does. Sums of ranks or parts add up: totals() is one small tensor to all-reduce.
#pragma once

#include <string>
#include <vector>

#include "config/registry.h"
#include "dist/process_group.h"
#include "tensor/tensor.h"

namespace rstorch {

// The running mean of something.
class Mean {
 public:
  // `sum` (one element, any dtype) over so many samples; a count of one element is as well on the device of the sum.
  void add_sum(const Tensor& sum, int64_t count);
  void add_sum(const Tensor& sum, const Tensor& count);
  // A batch's mean, as a loss gives it, and what it was divided by.
  void add_mean(const Tensor& mean, const Tensor& count);

  // f64 [2]: sum, count. Stays at its address, so that a captured step may add to it. Undefined before the first add.
  const Tensor& totals() const { return totals_; }
  // Adds another part's totals: two numbers.
  void merge(const Tensor& totals);
  // Adds those of all ranks together, on each.
  void merge_ranks(dist::ProcessGroup& group, Device device);
  void reset();
  // nan when nothing was added.
  double value() const;

 private:
  Tensor& totals_on(Device device);

  Tensor totals_;
};

class Metric {
 public:
  virtual ~Metric() = default;
  // As in metrics.jsonl behind "val.": "accuracy", "accuracy_top5".
  virtual std::string name() const = 0;
  virtual bool higher_is_better() const = 0;
  // Output of the model and target, batch first. Where `counted` (bool, of the target's shape) is false, the target is
  // left out and may have any value; undefined: all count.
  void add(const Tensor& output, const Tensor& target, const Tensor& counted = {});

  Mean& mean() { return mean_; }
  double value() const { return mean_.value(); }
  void reset() { mean_.reset(); }

 private:
  // For each target, in its shape: what the metric is the mean of. Runs without recording.
  virtual Tensor each(const Tensor& output, const Tensor& target) = 0;

  Mean mean_;
};

// Share of samples whose class is among the top_k largest outputs. output [batch, classes, ...] with target i64
// [batch, ...]; or logits and 0/1 targets of one shape, where the output says 1 above 0.
class Accuracy final : public Metric {
 public:
  struct Config {
    int64_t top_k = 1;
    static void describe(auto& field) {
      field("top_k", &Config::top_k, "The class counts as found when it is among so many largest outputs.",
            config::positive);
    }
  };
  Accuracy() : Accuracy(Config()) {}
  explicit Accuracy(const Config& config) : config_(config) {}
  std::string name() const override;
  bool higher_is_better() const override { return true; }

 private:
  Tensor each(const Tensor& output, const Tensor& target) override;

  Config config_;
  Tensor places_;  // [1, classes, 1, ...]: 0, 1, 2, ...
};

// Mean of (output - target)^2 over all elements. Both have one shape.
class MeanSquaredError final : public Metric {
 public:
  std::string name() const override { return "mse"; }
  bool higher_is_better() const override { return false; }

 private:
  Tensor each(const Tensor& output, const Tensor& target) override;
};

// Mean of |output - target| over all elements. Both have one shape.
class MeanAbsoluteError final : public Metric {
 public:
  std::string name() const override { return "mae"; }
  bool higher_is_better() const override { return false; }

 private:
  Tensor each(const Tensor& output, const Tensor& target) override;
};

using MetricRegistry = config::Registry<Metric>;
const MetricRegistry& metrics();  // every metric that a config can name
const config::KindTable& metric_kinds();

}  // namespace rstorch
