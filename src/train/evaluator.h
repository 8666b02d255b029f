// The loss and metrics of a model over a dataset: exact means over its samples, the same bits each time. Ranks evaluate
// a share each and get the means over all.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "data/loader.h"
#include "dist/process_group.h"
#include "nn/loss.h"
#include "nn/module.h"
#include "train/arithmetic.h"
#include "train/metric.h"
#include "train/metrics.h"

namespace rstorch {

class Evaluator {
 public:
  // Model, loss and group must outlive it.
  Evaluator(nn::Module& model, const Arithmetic& arithmetic, const nn::Loss& loss,
            const std::vector<MetricRegistry::Recipe>& metrics, Device device, dist::ProcessGroup& group);

  // {"loss", ...}, {"accuracy", ...}, ... Nothing if `interrupted` said true between two batches, as it has to on all
  // ranks or on none. The loader gives this rank's share, in as many batches as the others'. The model is in
  // training mode again afterwards if it was before.
  std::optional<Metrics> evaluate(const data::DataLoader& loader, const std::function<bool()>& interrupted = {});

 private:
  void add(const data::Batch& batch);

  nn::Module& model_;
  Arithmetic arithmetic_;
  const nn::Loss& loss_;
  std::vector<std::unique_ptr<Metric>> metrics_;
  Device device_;
  dist::ProcessGroup& group_;
  Mean loss_mean_;
};

// While it lives, the model is in evaluation mode.
class EvalMode {
 public:
  explicit EvalMode(nn::Module& model) : model_(model), was_training_(model.is_training()) { model_.eval(); }
  ~EvalMode() {
    if (was_training_) model_.train();
  }
  EvalMode(const EvalMode&) = delete;
  EvalMode& operator=(const EvalMode&) = delete;

 private:
  nn::Module& model_;
  bool was_training_;
};

}  // namespace rstorch
