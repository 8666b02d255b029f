#include "train/learner.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>

#include "autograd/grad_mode.h"
#include "base/log.h"
#include "dist/sync_batch_norm.h"
#include "ops/ops.h"
#include "optim/clip.h"
#include "tensor/runtime.h"
#include "train/fit_check.h"
#include "train/sharded_state.h"

namespace rstorch {
namespace {

std::unique_ptr<optim::Schedule> make_schedule(const Experiment& experiment, const optim::RunLength& length) {
  try {
    return experiment.schedule.make(experiment.optimizer.lr(), length);
  } catch (const ArgumentError& e) {  // a rule between the schedule and the length of the run
    config::Report report;
    report.error(config::Code::conflict, e.what()).at(experiment.schedule.given()).help(e.hint());
    report.throw_if_errors();
    throw;
  }
}

optim::ParameterGroups groups_of(const Experiment& experiment, const nn::Module& model) {
  config::Report report;
  optim::ParameterGroups groups = experiment.optimizer.assign(model.named_parameters(), report);
  report.throw_if_errors();
  return groups;
}

optim::ParameterArena::Share share_of(const Experiment& experiment, const dist::ProcessGroup& group) {
  if (experiment.config.distributed.zero == 0) return {};
  return {.index = group.rank(), .count = group.size()};
}

std::unique_ptr<StepGraph> make_step_graph(const TrainerSection& settings, Device device, int ranks) {
  if (!device.is_cuda() || settings.graph == GraphMode::off) return nullptr;
  const bool checks_each = settings.on_nonfinite == OnNonFinite::skip && settings.precision != Precision::fp16;
  if (ranks == 1 && !checks_each) return std::make_unique<StepGraph>(device, settings.graph);
  if (settings.graph == GraphMode::on) {
    logging::warning(format("trainer.graph: steps run without a CUDA graph: {}",
                            checks_each ? "on_nonfinite: skip waits for each" : "there are several ranks"));
  }
  return nullptr;
}

// How many samples at a time might have fitted, by what `together` of them took until there was no more: half of them
// at most, for the step was not at its end. `resting`: bytes in use between steps.
int64_t fitting(const OutOfMemoryError& error, size_t resting, int64_t together) {
  if (error.wanted == 0) return together / 2;  // not from the device's allocator
  const double taken = double(error.in_use) - double(std::min(error.in_use, resting));
  const double share = (taken + double(error.free)) / std::max(1.0, taken + double(error.wanted));
  return std::clamp(int64_t(share * double(together)), int64_t(1), together / 2);
}

// What else the user can do about it.
[[noreturn]] void explain(const OutOfMemoryError& error, const data::Batch& batch, Device device,
                          std::string_view otherwise) {
  int64_t together = 0;
  for (const data::Part& part : batch.parts) together = std::max(together, part.size);
  const size_t resting = current_stream(device).allocator().stats().live_bytes;
  throw OutOfMemoryError(
      format("{}; in a training step of {} samples at a time", error.what(), together),
      together > 1 ? format("set trainer.micro_batch_size: {}, or {}", fitting(error, resting, together), otherwise)
                   : std::string(otherwise));
}

}  // namespace

optim::RunLength run_length(const Experiment& experiment, const data::Dataset& training_data) {
  const data::DataLoader loader(training_data, experiment.train_options());
  if (loader.size() == 0) {
    throw DataError(format("no batch of {} samples: the training data has {}, and data.drop_last is set",
                           loader.options().batch_size, training_data.size()),
                    "set data.drop_last to false, or a smaller data.batch_size");
  }
  const TrainerSection& settings = experiment.config.trainer;
  optim::RunLength length{loader.size(), settings.max_steps};
  if (!settings.max_epochs) return length;
  int64_t by_epochs = 0;
  if (__builtin_mul_overflow(*settings.max_epochs, loader.size(), &by_epochs)) {
    by_epochs = std::numeric_limits<int64_t>::max() / 2;  // as good as for ever, and safe to round up
  }
  length.total_steps = std::min(by_epochs, settings.max_steps.value_or(by_epochs));
  return length;
}

Learner::Learner(const Experiment& experiment, nn::BuiltModel model, const optim::RunLength& length, Device device,
                 dist::ProcessGroup& group)
    : seed_(experiment.seed()),
      device_(device),
      graph_(make_step_graph(experiment.config.trainer, device, group.size())),
      feeder_(device),
      group_(&group),
      max_norm_(experiment.config.trainer.clip_grad_norm),
      arithmetic_(experiment.config.trainer.precision, device),
      model_(std::move(model)),
      loss_(experiment.loss.make()),
      arena_(
          std::make_unique<optim::ParameterArena>(groups_of(experiment, *model_.module), share_of(experiment, group))),
      optimizer_spec_(experiment.optimizer),
      optimizer_(optimizer_spec_.make(arena_->flat_groups())),
      schedule_(make_schedule(experiment, length)) {
  loss_->to(device_);
  if (experiment.config.trainer.ema) average_.emplace(*arena_, experiment.config.trainer.ema->decay);
  if (arithmetic_.wants_loss_scaling()) scaler_.emplace(device_).guard(*optimizer_);
  if (group.size() > 1) {
    reducer_.emplace(group, *arena_, this->model(), size_t(experiment.config.distributed.bucket_mb) << 20);
    nn::SyncBatchNorm::convert_sync_batchnorm(this->model(), &group);
  }
  this->model().train();
  arena_->collect_gradients();  // the optimizer is to know before a step that there will be one of each parameter
  for (const nn::NamedTensor& named : this->model().named_buffers()) {
    buffers_.push_back(named.tensor);
    const bool watched = is_floating(named.tensor.dtype()) && optim::all_finite({named.tensor}).item<bool>();
    if (watched) statistics_.push_back(named.tensor);
  }
}

Learner make_learner(const Experiment& experiment, const data::Dataset& training_data, const optim::RunLength& length,
                     Device device, dist::ProcessGroup& group) {
  const data::SampleSpec& spec = training_data.spec();
  check_training_fit(experiment, spec, training_data.size(), group.size());
  return {experiment, experiment.build_model(spec, device), length, device, group};
}

bool Learner::step(const data::Batch& batch, Guard guard) {
  try {
    const data::Batch there = feeder_.feed(batch);
    optimizer_->set_lr(schedule_->lr(step_));
    const bool update = guard == Guard::on ? guarded_step(there) : free_step(there);
    ++step_;
    return update;
  } catch (const OutOfMemoryError& error) {
    if (graph_) graph_->trim();  // it keeps what the step had
    explain(error, batch, device_, graph_ ? "use a smaller model, or trainer.graph: off" : "use a smaller model");
  }
}

bool Learner::free_step(const data::Batch& batch) {
  optimizer_->prepare_step();
  const auto queue = [this](const data::Batch& inputs, const StepPlace* places) { queue_step(inputs, places); };
  graph_ ? graph_->run(batch, uint64_t(step_), queue) : queue(batch, nullptr);
  return true;
}

// Nothing here waits for the device, so that it can be recorded.
void Learner::queue_step(const data::Batch& batch, const StepPlace* places) {
  const std::vector<Tensor> before = scaler_ ? copies_of_buffers() : std::vector<Tensor>();
  const BatchLoss loss = clipped_backward(batch, places);
  // Activations that overflow are in the running statistics too.
  for (size_t i = 0; i < before.size(); ++i) {
    buffers_[i].copy_(where(scaler_->found_inf(), before[i], buffers_[i]));
  }
  optimizer_->update();
  finish_update(loss);
}

std::vector<Tensor> Learner::copies_of_buffers() const {
  std::vector<Tensor> out;
  for (const Tensor& buffer : buffers_) out.push_back(buffer.clone());
  return out;
}

bool Learner::guarded_step(const data::Batch& batch) {
  if (scaler_) return free_step(batch);  // which is guarded on the device
  const std::vector<Tensor> before = copies_of_buffers();
  const BatchLoss loss = clipped_backward(batch, nullptr);
  const auto finite = [](const std::vector<Tensor>& tensors) { return optim::all_finite(tensors).item<bool>(); };
  if (finite({loss.value}) && finite(arena_->gradients()) && finite(statistics_)) {
    optimizer_->step();
    finish_update(loss);
    return true;
  }
  for (size_t i = 0; i < buffers_.size(); ++i) buffers_[i].copy_(before[i]);
  return false;
}

Learner::BatchLoss Learner::clipped_backward(const data::Batch& batch, const StepPlace* places) {
  arena_->zero_grad();
  const bool in_parts = group_->size() > 1 || batch.parts.size() > 1;
  const BatchLoss loss = in_parts ? backward_in_parts(batch, places) : backward(batch, places);
  if (scaler_) scaler_->unscale(arena_->gradients());
  if (max_norm_) optim::clip_norm(arena_->gradients(), *max_norm_);
  return loss;
}

void Learner::finish_update(const BatchLoss& loss) {
  if (arena_->is_shared()) gather_parameters();
  if (average_) average_->update();  // also of weights that an overflow left as they were, as in PyTorch's loops
  // A sample whose update is left out was not trained with.
  const auto counted = [this](const Tensor& x) { return scaler_ ? masked_fill(x, scaler_->found_inf(), 0) : x; };
  if (loss_->reduction() == Reduction::sum)
    training_loss_.add_sum(counted(loss.value), counted(loss.count));
  else
    training_loss_.add_mean(counted(loss.value), counted(loss.count));
  if (scaler_) scaler_->update();
}

nn::RandomScope::Settings Learner::random_at(const data::Part& part, const StepPlace* place) const {
  if (place) return {.seed = seed_, .place = place};
  return {.seed = seed_, .step = uint64_t(step_), .first_sample = uint64_t(part.first)};
}

Learner::BatchLoss Learner::backward(const data::Batch& batch, const StepPlace* places) {
  const nn::RandomScope random(random_at(batch.parts[0], places));
  const Tensor output = arithmetic_.run(model(), batch.x);
  const Tensor y = loss_->target_for(output, batch.y);
  const Tensor loss = loss_->forward(output, y);
  loss.backward(scaler_ ? scaler_->factor() : Tensor());
  arena_->collect_gradients();
  return {loss.detach(), loss_->count(output, y)};
}

// Sums of parts and ranks add up; the mean is their sum over the count of the whole batch. So neither changes the
// update.
Learner::BatchLoss Learner::backward_in_parts(const data::Batch& batch, const StepPlace* places) {
  const Tensor totals = Tensor::zeros({2}, {.dtype = DType::f64, .device = device_});
  BatchLoss whole{totals.select(0, 0), totals.select(0, 1)};
  const bool is_mean = loss_->reduction() != Reduction::sum;
  // Gradients of sums need a smaller loss scale than those of means; by a power of two, which changes no bits.
  const double share = scaler_ && is_mean ? std::exp2(-std::round(std::log2(double(batch.global_size)))) : 1;
  dist::WorkPtr totals_work;
  int64_t offset = 0;
  for (size_t i = 0; i < batch.parts.size(); ++i) {
    const data::Part& part = batch.parts[i];
    const nn::RandomScope random(random_at(part, places ? places + i : nullptr));
    const Tensor output = arithmetic_.run(model(), batch.x.narrow(0, offset, part.size));
    const Tensor y = loss_->target_for(output, batch.y.narrow(0, offset, part.size));
    const Tensor loss = loss_->sum(output, y);
    whole.value.add_(loss.detach());
    whole.count.add_(loss_->count(output, y));
    offset += part.size;
    if (&part == &batch.parts.back()) {
      totals_work = group_->start_all_reduce(totals, dist::ReduceOp::sum, "loss");
      if (reducer_) reducer_->begin();
    }
    loss.backward(scaler_ ? scaler_->factor() * share : Tensor());
  }
  arena_->collect_gradients();
  if (reducer_) reducer_->finish();
  totals_work->wait();
  if (!is_mean) return whole;
  // Where nothing counts the gradients are zeros, and stay so: the loss alone is 0 / 0, as PyTorch's.
  const Tensor divisor = whole.count.masked_fill(whole.count == 0, 1) * share;
  for (Tensor& gradient : arena_->gradients()) gradient.div_(divisor);
  return {whole.value / whole.count, whole.count};
}

// Each rank has updated its share of them.
void Learner::gather_parameters() {
  std::vector<dist::WorkPtr> works;
  for (const optim::ParameterArena::Block& block : arena_->blocks()) {
    works.push_back(group_->start_all_gather_in_place(block.parameters, "parameters"));
  }
  for (const dist::WorkPtr& work : works) work->wait();
}

void Learner::share_state() {
  if (group_->size() == 1) return;
  const NoGrad no_grad;
  for (const optim::ParameterArena::Block& block : arena_->blocks()) {
    group_->broadcast(block.parameters.detach(), "parameters");
  }
  for (const NamedTensor& named : model().named_parameters()) {
    if (!named.tensor.requires_grad()) group_->broadcast(named.tensor, "frozen parameters");
  }
  for (const Tensor& buffer : buffers_) group_->broadcast(buffer, "buffers");
  share_optimizer_state();
  if (average_) {
    average_->set_begun(!group_->broadcast_text(average_->has_begun() ? "begun" : "", "averages of weights").empty());
    for (const Tensor& average : average_->averages()) group_->broadcast(average, "averages of weights");
  }
  if (scaler_) {
    for (const NamedTensor& named : scaler_->state()) group_->broadcast(named.tensor, "loss scale");
    scaler_->load_state({});  // what was left out before belongs to the counts that were replaced
  }
  const Tensor numbers = Tensor::zeros({3}, {.dtype = DType::f64});
  const Tensor& totals = training_loss_.totals();
  if (totals.defined()) numbers.narrow(0, 0, 2).copy_(totals);
  numbers.select(0, 2).fill_(double(step_));
  group_->broadcast(numbers, "place in the run");
  step_ = int64_t(numbers.select(0, 2).item());
  training_loss_.reset();
  training_loss_.merge(numbers.narrow(0, 0, 2).to(device_));
}

size_t Learner::gradient_bytes() const {
  size_t bytes = 0;
  for (const Tensor& gradient : arena_->gradients()) bytes += gradient.bytes();
  return bytes;
}

void Learner::share_optimizer_state() {
  if (arena_->is_shared()) {
    // Without it each has its share already.
    const bool loaded = !group_->broadcast_text(loaded_ ? "loaded" : "", "optimizer state").empty();
    if (loaded) scatter_state(loaded_.get(), *optimizer_, *arena_, *group_);
    loaded_.reset();
    return;
  }
  // As many numbers on all ranks, whether or not there was an update yet.
  std::vector<NamedTensor> state = gathered_state();
  for (NamedTensor& named : state) {
    named.tensor = named.tensor.contiguous();
    group_->broadcast(named.tensor, "optimizer state");
  }
  if (!group_->is_root()) optim::load_named_state(*optimizer_, *arena_, state);
}

bool Learner::model_finite() const {
  std::vector<Tensor> all = statistics_;
  for (const optim::ParameterArena::Block& block : arena_->blocks()) all.push_back(block.parameters.detach());
  return optim::all_finite(all).item<bool>();
}

std::optional<double> Learner::loss_scale() const {
  return scaler_ ? std::optional(scaler_->get_scale()) : std::nullopt;
}

std::vector<NamedTensor> Learner::optimizer_state() {
  std::vector<NamedTensor> state = gathered_state();
  if (!group_->is_root()) return state;
  const auto add = [&](std::vector<NamedTensor> more) { std::ranges::move(more, std::back_inserter(state)); };
  if (average_) add(average_->state());
  if (scaler_) add(scaler_->state());
  return state;
}

std::vector<NamedTensor> Learner::gathered_state() {
  if (scaler_) scaler_->settle(*optimizer_);
  if (!arena_->is_shared()) return optim::named_state(*optimizer_, *arena_);
  const auto whole = group_->is_root() ? make_whole(optimizer_spec_, *arena_) : nullptr;
  gather_state(*optimizer_, whole.get(), *arena_, *group_);
  return whole ? optim::named_state(*whole, *arena_) : std::vector<NamedTensor>();
}

void Learner::load(const std::vector<NamedTensor>& model, const std::vector<NamedTensor>& state, int64_t step) {
  this->model().load_state_dict(model);
  std::vector<NamedTensor> optimizer = state;  // a run in another precision has no scale, or needs none; averages alike
  std::erase_if(optimizer, [](const NamedTensor& named) {
    return optim::GradScaler::is_state(named.name) || optim::ExponentialMovingAverage::is_state(named.name);
  });
  if (scaler_) scaler_->load_state(state);
  if (average_) average_->load_state(state);
  if (arena_->is_shared()) loaded_ = make_whole(optimizer_spec_, *arena_);
  optim::load_named_state(loaded_ ? *loaded_ : *optimizer_, *arena_, optimizer);
  training_loss_.reset();
  step_ = step;
  if (graph_) graph_->forget();
}

}  // namespace rstorch
