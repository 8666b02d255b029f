// A model and all that an update of it needs: loss, parameter arena, optimizer, schedule, clipping.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "data/loader.h"
#include "dist/process_group.h"
#include "dist/reducer.h"
#include "nn/loss.h"
#include "nn/module.h"
#include "nn/random_scope.h"
#include "optim/ema.h"
#include "optim/grad_scaler.h"
#include "optim/optimizer.h"
#include "optim/parameter_arena.h"
#include "optim/schedule.h"
#include "train/arithmetic.h"
#include "train/batch_feeder.h"
#include "train/experiment.h"
#include "train/metric.h"
#include "train/safetensors.h"
#include "train/step_graph.h"

namespace rstorch {

// Steps of an epoch and of the whole run. Throws DataError where there is no step at all.
optim::RunLength run_length(const Experiment& experiment, const data::Dataset& training_data);

class Learner;
// For this training data, once it is known that model, loss and metrics fit it. Throws ConfigReport, DataError.
Learner make_learner(const Experiment& experiment, const data::Dataset& training_data, const optim::RunLength& length,
                     Device device, dist::ProcessGroup& group);

class Learner {
 public:
  // Throws ConfigError for settings that do not fit each other. The group must outlive it.
  Learner(const Experiment& experiment, nn::BuiltModel model, const optim::RunLength& length, Device device,
          dist::ProcessGroup& group);

  // Whether an update whose loss, gradients or running statistics are not finite is left out, with all that its forward
  // pass wrote to buffers. Checking waits for the device.
  enum class Guard { off, on };
  // One update, of this rank's share of a batch; all ranks make it together. False if the guard left it out; the step
  // counts all the same. Where losses are scaled, an update whose gradients are not finite is left out on the device,
  // with the guard or without, and that is not told here; see loss_scale().
  bool step(const data::Batch& batch, Guard guard = Guard::off);

  // Whether a step of the usual batch is a replay now; see StepGraph.
  bool replays() const { return graph_ && graph_->is_captured(); }
  // From now on each step is queued anew: who hangs on modules or streams sees it.
  void stop_replaying() { graph_.reset(); }

  int64_t steps() const { return step_; }
  double lr_of(int64_t step) const { return schedule_->lr(step); }
  nn::Module& model() { return *model_.module; }
  const nn::BuiltModel& built() const { return model_; }
  const nn::Loss& loss() const { return *loss_; }
  const Arithmetic& arithmetic() const { return arithmetic_; }
  // What the Evaluator would report of the batches since the last reset(), each at the weights it was trained with: the
  // mean over all they count, whatever the loss's reduction.
  Mean& training_loss() { return training_loss_; }
  Device device() const { return device_; }
  size_t gradient_bytes() const;
  // What exchanges them with the other ranks; null where there are none.
  dist::Reducer* reducer() { return reducer_ ? &*reducer_ : nullptr; }
  // Reads all parameters and running statistics; waits for the device.
  bool model_finite() const;
  // Nothing where losses are not scaled; waits for the device. Below kLeastLossScale it cannot help any more: it falls
  // so low only where gradients are not finite at any scale.
  std::optional<double> loss_scale() const;
  static constexpr double kLeastLossScale = 0x1p-14;

  // f() with the model as it is to be judged: with the averages of its weights where trainer.ema wants them. Between
  // steps.
  template <class F>
  auto judged(F&& f) {
    return average_ ? average_->in_place(f) : f();
  }

  // For checkpoints. Tensors may share memory with the learner.
  std::vector<NamedTensor> model_state() { return model().state_dict(); }
  // All ranks call it together, between steps: with distributed.zero each has its share of what rank 0 returns, and the
  // others return nothing.
  std::vector<NamedTensor> optimizer_state();
  // On rank 0; share_state() must follow where there are others.
  void load(const std::vector<NamedTensor>& model, const std::vector<NamedTensor>& optimizer, int64_t step);
  // All ranks take over what rank 0 has: weights, buffers, optimizer state, place in the run.
  void share_state();

 private:
  // Of a batch, on the device: the loss by its reduction, and what its mean divides by.
  struct BatchLoss {
    Tensor value;
    Tensor count;
  };
  // All take a batch on the device. With places, each part of it is there in the run, and `step_` is not looked at.
  bool guarded_step(const data::Batch& batch);
  bool free_step(const data::Batch& batch);
  void queue_step(const data::Batch& batch, const StepPlace* places);
  BatchLoss clipped_backward(const data::Batch& batch, const StepPlace* places);
  BatchLoss backward(const data::Batch& batch, const StepPlace* places);
  BatchLoss backward_in_parts(const data::Batch& batch, const StepPlace* places);
  nn::RandomScope::Settings random_at(const data::Part& part, const StepPlace* place) const;
  void finish_update(const BatchLoss& loss);
  std::vector<Tensor> copies_of_buffers() const;
  std::vector<NamedTensor> gathered_state();
  void gather_parameters();
  void share_optimizer_state();

  uint64_t seed_;
  Device device_;
  std::unique_ptr<StepGraph> graph_;  // null where steps are not replayed; what they took from it must go first
  BatchFeeder feeder_;
  dist::ProcessGroup* group_;
  std::optional<double> max_norm_;
  Arithmetic arithmetic_;
  nn::BuiltModel model_;
  std::vector<Tensor> buffers_;
  std::vector<Tensor> statistics_;  // floating buffers that begin finite: a mask of -inf is none
  std::unique_ptr<nn::Loss> loss_;
  std::unique_ptr<optim::ParameterArena> arena_;
  std::optional<dist::Reducer> reducer_;  // with several ranks
  optim::OptimizerSpec optimizer_spec_;
  std::optional<optim::ExponentialMovingAverage> average_;
  std::optional<optim::GradScaler> scaler_;      // for fp16
  std::unique_ptr<optim::Optimizer> optimizer_;  // of this rank's share
  std::unique_ptr<optim::Optimizer> loaded_;     // of all shares, until they are given out
  std::unique_ptr<optim::Schedule> schedule_;
  Mean training_loss_;
  int64_t step_ = 0;
};

}  // namespace rstorch
