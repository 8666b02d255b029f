#include "train/evaluator.h"

#include "autograd/grad_mode.h"
#include "ops/ops.h"

namespace rstorch {

Evaluator::Evaluator(nn::Module& model, const Arithmetic& arithmetic, const nn::Loss& loss,
                     const std::vector<MetricRegistry::Recipe>& metrics, Device device, dist::ProcessGroup& group)
    : model_(model), arithmetic_(arithmetic), loss_(loss), device_(device), group_(group) {
  for (const MetricRegistry::Recipe& recipe : metrics) metrics_.push_back(recipe.make());
}

std::optional<Metrics> Evaluator::evaluate(const data::DataLoader& loader, const std::function<bool()>& interrupted) {
  const NoGrad no_grad;
  const EvalMode eval_mode(model_);
  loss_mean_.reset();
  for (const auto& metric : metrics_) metric->reset();

  data::BatchStream batches = loader.stream(0, loader.size());
  while (const std::optional<data::Batch> batch = batches.next()) {
    if (interrupted && interrupted()) return {};
    add(*batch);
  }

  loss_mean_.merge_ranks(group_, device_);
  for (const auto& metric : metrics_) metric->mean().merge_ranks(group_, device_);
  Metrics values = {{"loss", loss_mean_.value()}};
  for (const auto& metric : metrics_) values.emplace_back(metric->name(), metric->value());
  return values;
}

void Evaluator::add(const data::Batch& batch) {
  const Tensor output = arithmetic_.run(model_, batch.x.to(device_));
  const Tensor y = loss_.target_for(output, batch.y.to(device_));
  loss_mean_.add_sum(loss_.sum(output, y), loss_.count(output, y));
  const Tensor counted = loss_.counted(y);
  for (const auto& metric : metrics_) metric->add(output, y, counted);
}

}  // namespace rstorch
