#include "nn/batch_norm.h"

#include "nn/init.h"
#include "nn/placement.h"

namespace rstorch::nn {
namespace {

Shape channels(std::string_view kind, const BatchNorm::Config& config) {
  return {stated(kind, "num_features", config.num_features)};
}

Tensor statistic(const Shape& shape, const BatchNorm::Config& config) {
  if (!config.track_running_stats) return {};
  return Tensor::empty(shape, {current_placement().dtype, current_placement().device});
}

Tensor counter(const BatchNorm::Config& config) {
  if (!config.track_running_stats) return {};
  return Tensor::empty({}, {DType::i64, current_placement().device});
}

}  // namespace

BatchNorm::BatchNorm(std::string_view kind, const Config& config, int min_dims, int max_dims)
    : weight(register_parameter_if(config.affine, "weight", channels(kind, config))),
      bias(register_parameter_if(config.affine, "bias", channels(kind, config))),
      running_mean(register_buffer("running_mean", statistic(channels(kind, config), config))),
      running_var(register_buffer("running_var", statistic(channels(kind, config), config))),
      num_batches_tracked(register_buffer("num_batches_tracked", counter(config))),
      kind_(kind),
      min_dims_(min_dims),
      max_dims_(max_dims),
      eps_(config.eps),
      momentum_(config.momentum) {
  BatchNorm::reset_parameters();
}

Tensor BatchNorm::forward(const Tensor& x) {
  if (x.dim() < min_dims_ || x.dim() > max_dims_) {
    const std::string wanted =
        min_dims_ == max_dims_ ? format("{}", max_dims_) : format("{} or {}", min_dims_, max_dims_);
    throw ShapeError(format("{}: the input has shape {}, wanted {} axes", kind_, x.shape().text(), wanted));
  }
  if (is_training() && !peers_ && x.size(1) > 0 && x.numel() == x.size(1)) {
    throw ShapeError(
        format("{}: the input has shape {}: one value per channel has no variance", kind_, x.shape().text()),
        "train with batches of at least two, and `drop_last: true`");
  }
  const bool tracked = running_mean.defined();
  BatchNormOptions options = {
      .training = is_training() || !tracked, .eps = eps_, .peers = is_training() ? peers_ : nullptr};
  if (is_training() && tracked) {
    num_batches_tracked.add_(1);
    // The plain mean needs the count on the host: such a layer makes the step wait for the device.
    // On meta there is no count, and nothing to average.
    const bool counted = !momentum_ && !x.device().is_meta();
    options.momentum = counted ? 1.0 / double(num_batches_tracked.item<int64_t>()) : momentum_.value_or(1.0);
  }
  return batch_norm(x, weight, bias, running_mean, running_var, options);
}

void BatchNorm::reset_parameters() {
  if (weight.defined()) init::ones_(weight);
  if (bias.defined()) init::zeros_(bias);
  if (!running_mean.defined()) return;
  init::zeros_(running_mean);
  init::ones_(running_var);
  init::zeros_(num_batches_tracked);
}

int64_t synchronize_batch_norm(Module& model, const std::shared_ptr<BatchPeers>& peers) {
  int64_t count = 0;
  model.apply([&](Module& module) {
    auto* const norm = dynamic_cast<BatchNorm*>(&module);
    if (!norm) return;
    norm->synchronize(peers);
    ++count;
  });
  return count;
}

}  // namespace rstorch::nn
