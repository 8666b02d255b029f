#include "train/metric.h"

#include <limits>

#include "autograd/grad_mode.h"
#include "base/error.h"
#include "ops/ops.h"

namespace rstorch {
namespace {

using R = MetricRegistry;

constexpr R::Entry table[] = {
    R::entry<Accuracy>("accuracy", "Share of samples whose class was found; higher is better."),
    R::entry<MeanAbsoluteError>("mae", "Mean absolute error."),
    R::entry<MeanSquaredError>("mse", "Mean squared error."),
};
constexpr R registry("metric", table);

// Broadcasting [batch, 1] with [batch] would silently compare every output with every target.
Tensor difference(std::string_view metric, const Tensor& output, const Tensor& target) {
  if (output.shape() == target.shape()) return output - target;
  throw ShapeError(
      format("{}: output is {}, target is {}; wanted one shape", metric, output.shape().text(), target.shape().text()),
      "make the model's last layer as wide as the target");
}

}  // namespace

const MetricRegistry& metrics() { return registry; }

const config::KindTable& metric_kinds() {
  static const config::KindTable kinds = registry.kinds();
  return kinds;
}

Tensor& Mean::totals_on(Device device) {
  if (!totals_.defined()) totals_ = Tensor::zeros({2}, {.dtype = DType::f64, .device = device});
  return totals_;
}

void Mean::add_sum(const Tensor& sum, int64_t count) {
  const NoGrad no_grad;
  const Tensor& totals = totals_on(sum.device());
  totals.select(0, 0).add_(sum.detach().reshape({}));
  totals.select(0, 1).add_(count);
}

void Mean::add_sum(const Tensor& sum, const Tensor& count) {
  const NoGrad no_grad;
  const Tensor& totals = totals_on(sum.device());
  totals.select(0, 0).add_(sum.detach().reshape({}));
  totals.select(0, 1).add_(count.detach().reshape({}));
}

void Mean::add_mean(const Tensor& mean, const Tensor& count) {
  const NoGrad no_grad;
  add_sum(mean.detach().to(kFloat64) * count.detach(), count);
}

void Mean::merge(const Tensor& totals) {
  const NoGrad no_grad;
  totals_on(totals.device()).add_(totals);
}

void Mean::merge_ranks(dist::ProcessGroup& group, Device device) { group.all_reduce(totals_on(device), "metrics"); }

void Mean::reset() {
  const NoGrad no_grad;
  if (totals_.defined()) totals_.zero_();
}

double Mean::value() const {
  if (!totals_.defined()) return std::numeric_limits<double>::quiet_NaN();
  const std::vector<double> totals = totals_.to_vector<double>();
  return totals[0] / totals[1];
}

void Metric::add(const Tensor& output, const Tensor& target, const Tensor& counted) {
  const NoGrad no_grad;
  if (!counted.defined()) {
    mean_.add_sum(sum(each(output, target)), target.numel());
    return;
  }
  // What is left out may be no class at all: 0 stands in for it, and what comes of that counts nothing.
  const Tensor left_out = logical_not(counted);
  const Tensor values = each(output, masked_fill(target, left_out, 0));
  mean_.add_sum(sum(masked_fill(values, left_out, 0)), sum(counted));
}

std::string Accuracy::name() const { return config_.top_k == 1 ? "accuracy" : format("accuracy_top{}", config_.top_k); }

Tensor Accuracy::each(const Tensor& output, const Tensor& target) {
  if (is_floating(target.dtype())) {
    difference("accuracy", output, target);
    return gt(output, 0) == gt(target, 0.5);
  }
  const int64_t classes = output.size(1);
  if (!places_.defined() || places_.numel() != classes) {
    Shape shape = Shape::filled(output.dim(), 1);
    shape[1] = classes;
    places_ = Tensor::arange(classes).reshape(shape).to(output.device());
  }
  // How many classes stand before the target's: those with a larger output; of equal ones the first, as in argmax, so
  // that a model that has nothing to say is right once in `classes` times; and every nan.
  const Tensor wanted = target.unsqueeze(1);
  const Tensor found = output.gather(1, wanted);
  const Tensor before = where(output == found, places_ < wanted, logical_not(output <= found));
  return lt(sum(before, {1}), config_.top_k);
}

Tensor MeanSquaredError::each(const Tensor& output, const Tensor& target) {
  const Tensor error = difference(name(), output, target);
  return error * error;
}

Tensor MeanAbsoluteError::each(const Tensor& output, const Tensor& target) {
  return abs(difference(name(), output, target));
}

}  // namespace rstorch
