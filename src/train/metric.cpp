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

void Mean::reset() {
  const NoGrad no_grad;
  if (totals_.defined()) totals_.zero_();
}

double Mean::value() const {
  if (!totals_.defined()) return std::numeric_limits<double>::quiet_NaN();
  const std::vector<double> totals = totals_.to_vector<double>();
  return totals[0] / totals[1];
}

std::string Accuracy::name() const { return config_.top_k == 1 ? "accuracy" : format("accuracy_top{}", config_.top_k); }

void Accuracy::add(const Tensor& output, const Tensor& target) {
  const NoGrad no_grad;
  if (is_floating(target.dtype())) {
    difference("accuracy", output, target);
    mean_.add_sum(sum(gt(output, 0) == gt(target, 0.5)), target.numel());
    return;
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
  mean_.add_sum(sum(lt(sum(before, {1}), config_.top_k)), target.numel());
}

void MeanSquaredError::add(const Tensor& output, const Tensor& target) {
  const NoGrad no_grad;
  const Tensor error = difference(name(), output, target);
  mean_.add_sum(sum(error * error), target.numel());
}

void MeanAbsoluteError::add(const Tensor& output, const Tensor& target) {
  const NoGrad no_grad;
  mean_.add_sum(sum(abs(difference(name(), output, target))), target.numel());
}

}  // namespace rstorch
