#include "train/trainer.h"

#include <algorithm>
#include <cmath>

#include "base/log.h"
#include "config/dump.h"
#include "train/agreement.h"
#include "train/json.h"
#include "train/text_table.h"

namespace rstorch {
namespace {

namespace fs = std::filesystem;

constexpr double kSecondsBetweenLines = 10;
constexpr int64_t kMostLeftOut = 20;  // updates in a row, before a run is given up

MetricsLog::Options log_options(const Experiment& experiment) {
  const LoggingSection& logging = experiment.config.logging;
  MetricsLog::Options options{logging.jsonl, logging.csv, {"lr", "train.loss", "samples_per_s"}};
  if (!experiment.data.has_val()) return options;
  options.columns.emplace_back("val.loss");
  for (const MetricRegistry::Recipe& recipe : experiment.metrics)
    options.columns.push_back("val." + recipe.make()->name());
  return options;
}

}  // namespace

class Trainer::Agreement {
 public:
  Agreement(dist::ProcessGroup& group, const Agreed& mine)
      : both_(Tensor::from({double(mine.stop), group.is_root() ? mine.seconds : 0.0})),
        work_(group.start_all_reduce(both_, dist::ReduceOp::sum, "agreement on stopping")) {}

  Agreed wait() {
    work_->wait();
    const std::vector<double> both = both_.to_vector<double>();
    return {.stop = both[0] > 0, .seconds = both[1]};
  }

 private:
  Tensor both_;  // f64 [2]
  dist::WorkPtr work_;
};

Trainer::Trainer(const Experiment& experiment, const data::OpenedData& data, Learner learner, const RunStart* start,
                 RunEnd end, dist::ProcessGroup& group, const std::optional<Fault>& fault)
    : experiment_(experiment),
      settings_(experiment.config.trainer),
      group_(group),
      fault_(fault),
      loader_(*data.train, experiment.train_options(group.rank(), group.size())),
      epoch_steps_(loader_.size()),
      end_(std::move(end)),
      learner_(std::move(learner)),
      evaluator_(learner_.model(), learner_.arithmetic(), learner_.loss(), experiment.metrics, learner_.device(),
                 group),
      best_goal_(best_goal(experiment)),
      data_state_(data.state),
      config_text_(config::dump_yaml(experiment.resolved)),
      log_cadence_(settings_.log_every, epoch_steps_, 0),
      val_cadence_(settings_.val_every, epoch_steps_, 0),
      save_cadence_(experiment.config.checkpoint.every, epoch_steps_, 0) {
  if (data.val) val_loader_.emplace(*data.val, experiment.data.val_options(group.rank(), group.size()));
  if (group.is_root() || group.has_own_process()) signals_.emplace();
  state_.validated = true;
  if (start) store_.emplace(start->directory.checkpoints());
  if (start && start->from) load(*start->from);
  state_.seed = experiment.config.seed;
  state_.epoch_steps = epoch_steps_;
  if (start &&
      !start->continued) {  // a new run, from the checkpoint of another: what was measured there is not its own
    state_.log = {};
    state_.best.reset();
    state_.stopping.reset();
    state_.metrics.clear();
    state_.guarded_until = state_.left_out = 0;
  }
  if (start) {
    log_.emplace(start->directory.path(), log_options(experiment), MetricsLog::Sizes{state_.log.jsonl, state_.log.csv});
  }
  share_state();
}

// Every rank goes on from where rank 0 is.
void Trainer::share_state() {
  if (group_.size() > 1) {
    const std::string text = group_.broadcast_text(config::to_json(config::write(state_)), "state of the run");
    config::Report report;
    state_ = config::read<TrainingState>(parse_json(text, "state of the run"), report);
    report.throw_if_errors();
    learner_.share_state();
    agree_on_weights(group_, learner_.model());
  }
  seconds_before_ = state_.seconds;
  begin_ = Clock::now();
  save_cadence_ = Cadence(experiment_.config.checkpoint.every, epoch_steps_, state_.seconds);
  batches_.emplace(loader_.stream(state_.step));
}

void Trainer::load(const Checkpoint& checkpoint) {
  const auto busy = group_.busy("reading a checkpoint");
  state_ = read_training_state(checkpoint);
  if (state_.epoch_steps > 0 && state_.epoch_steps != epoch_steps_) {
    throw CheckpointError(
        format("{} is at step {} of epochs of {} steps; with this batch_size and data an epoch has {}, so that step is "
               "another place in the data and in the schedule",
               checkpoint.folder().string(), state_.step, state_.epoch_steps, epoch_steps_),
        "bring back data.batch_size, drop_last and the data; or begin a new run with its weights: model.weights.load");
  }
  learner_.load(checkpoint.model().tensors(), checkpoint.trainer().tensors(), state_.step);
  if (state_.loss.samples > 0) {
    learner_.training_loss().merge(Tensor::from({state_.loss.sum, state_.loss.samples}).to(learner_.device()));
  }
  state_.finished = false;  // it may have to go further than it had
}

Trainer::Outcome Trainer::run() {
  started_ = begin_ = Clock::now();
  if (end_.last_step && state_.step > *end_.last_step) {
    logging::warning(format("the checkpoint is of step {}, beyond the end of this run at step {}: nothing is trained",
                            state_.step, *end_.last_step));
    end_.last_step = state_.step;
  }
  progress_.emplace(Progress::Run{epoch_steps_, end_.last_step, state_.step, store_.has_value()});
  if (settings_.on_nonfinite == OnNonFinite::rollback && !has_checkpoint()) save();
  agreed_.stop = agree_to_stop();
  // A run that was stopped before its validation does that first; one that has more steps than it now may ends here.
  if ((!state_.validated || is_last_step()) && !finish_step()) return Outcome::stopped;
  while (!state_.finished) {
    train_step();
    if (!finish_step()) return Outcome::stopped;
  }
  progress_->clear();
  return Outcome::finished;
}

void Trainer::train_step() {
  if (dist::Watchdog* const watchdog = group_.watchdog()) watchdog->set_step(state_.step + 1);
  if (fault_) fault_->strike(group_.rank(), state_.step + 1);
  const data::Batch batch = *batches_->next();
  const bool guarded = settings_.on_nonfinite == OnNonFinite::skip || state_.step < state_.guarded_until;
  Agreement agreement(group_, {stop_requested(), seconds()});
  const bool updated = learner_.step(batch, guarded ? Learner::Guard::on : Learner::Guard::off);
  agreed_ = agreement.wait();
  state_.step = learner_.steps();
  state_.epoch = state_.step / epoch_steps_;
  state_.left_out = updated ? 0 : state_.left_out + 1;
  if (!updated) {
    logging::warning(format(
        "step {}: the loss, a gradient or a running statistic is not finite; its update is left out", state_.step));
    // Some bad samples are what leaving out is for. A run that has nothing else to the end has diverged.
    const bool hopeless = is_last_step() && 2 * state_.left_out > state_.step;
    if (hopeless || state_.left_out >= kMostLeftOut) {
      give_up(format("the last {} updates were left out: their loss or gradients are not finite (steps {} to {})",
                     state_.left_out, state_.step - state_.left_out + 1, state_.step));
    }
  }
  progress_->step(state_.step, batch.global_size);
}

bool Trainer::agree_to_stop() { return Agreement(group_, {stop_requested(), 0}).wait().stop; }

// Does what is due after a step. False: the run stops here, saved.
bool Trainer::finish_step() {
  const bool validation_due = val_loader_ && (val_cadence_.due(state_.step, 0) || is_last_step());
  const bool log_due = log_cadence_.due(state_.step, 0) || validation_due || is_last_step();
  const bool save_due = save_cadence_.due(state_.step, agreed_.seconds);
  const bool stopping = agreed_.stop;
  if (!log_due && !save_due && !stopping) return true;

  if (!everything_finite()) {
    recover();
    return true;
  }
  state_.validated = !validation_due;
  if (log_due && state_.logged_step < state_.step) write_training_line();
  const Clock::time_point pause = Clock::now();
  if (stopping && !(state_.validated && is_last_step())) return stop();
  if (validation_due) {
    const auto values =
        learner_.judged([&] { return evaluator_.evaluate(*val_loader_, [this] { return agree_to_stop(); }); });
    if (!values) return stop();
    note_validation(*values);
  }
  if (log_due) say_where_we_are(validation_due);
  state_.finished = end_.reached(state_);
  if (save_due || is_best() || state_.finished) save();
  progress_->leave_out(pause);
  return true;
}

bool Trainer::stop() {
  progress_->clear();
  write_checkpoint();
  return false;
}

// --- Metrics
// ------------------------------------------------------------------------------------------------------------

void Trainer::write_training_line() {
  Metrics values = {{"lr", learner_.lr_of(state_.step - 1)}};
  if (const double loss = learner_.training_loss().value(); std::isfinite(loss)) {
    values.emplace_back("train.loss", loss);
    progress_->set_loss(loss);
  }
  rate_ = progress_->take_rate();
  values.emplace_back("samples_per_s", std::round(rate_));
  write_line(values);
  learner_.training_loss().reset();
  state_.logged_step = state_.step;
}

void Trainer::note_validation(const Metrics& values) {
  Metrics named;
  for (const auto& [name, value] : values) named.emplace_back("val." + name, value);
  write_line(named);
  if (best_goal_) best_goal_->update(state_.best, state_.metrics.at(best_goal_->metric), state_.step);
  if (end_.goal) end_.goal->update(state_.stopping, state_.metrics.at(end_.goal->metric), state_.step);
  state_.validated = true;
}

void Trainer::write_line(const Metrics& values) {
  for (const auto& [name, value] : values) state_.metrics[name] = value;
  if (log_) log_->write({state_.step, state_.epoch, seconds(), values});
}

// One line for people: at every validation, and now and then in a long epoch.
void Trainer::say_where_we_are(bool validated) {
  if (!validated && !is_last_step() && seconds() - last_said_ < kSecondsBetweenLines) return;
  last_said_ = seconds();
  std::string text = progress_->position(state_.step);
  for (const auto& [name, value] : state_.metrics) {
    if (name.starts_with("train.") || (validated && name.starts_with("val.")))
      text += format("  {} {}", name, metric_text(value));
  }
  progress_->line(text + format("  {} samples/s{}", short_number(rate_), validated && is_best() ? "  best" : ""));
}

Metrics Trainer::metrics() const { return {state_.metrics.begin(), state_.metrics.end()}; }

// --- Checkpoints
// ----------------------------------------------------------------------------------------------------------

// Rank 0 knows it, and tells the others.
bool Trainer::has_checkpoint() {
  const bool has = store_ && !checkpoint_steps(store_->folder()).empty();
  return !group_.broadcast_text(has ? "yes" : "", "whether there is a checkpoint").empty();
}

// A checkpoint that cannot be written does not end a run that can go on: the next one may succeed.
void Trainer::save() {
  try {
    write_checkpoint();
  } catch (const CheckpointError& e) {
    if (state_.finished) throw;
    logging::warning(format("no checkpoint at step {}: {}; training goes on", state_.step, e.what()));
  }
}

// All ranks give what they have of it, rank 0 writes.
void Trainer::write_checkpoint() {
  const std::vector<NamedTensor> optimizer_state = learner_.optimizer_state();
  if (!store_) return;
  const auto busy = group_.busy("writing a checkpoint");
  const MetricsLog::Sizes sizes = log_->sync();
  TrainingState state = state_;
  state.seconds = seconds();
  state.log = {sizes.jsonl, sizes.csv};
  state.folder = fs::current_path().string();
  state.data = data_state_;
  std::erase_if(state.metrics, [](const auto& metric) { return !std::isfinite(metric.second); });  // JSON has no nan
  if (const Tensor& totals = learner_.training_loss().totals(); totals.defined()) {
    const std::vector<double> values = totals.to_vector<double>();
    state.loss = {values[0], values[1]};
  } else {
    state.loss = {};
  }
  store_->save(state_.step, {learner_.model_state(), optimizer_state, config::write(state), config_text_});
  if (is_best()) store_->mark_best(state_.step);
  store_->prune(experiment_.config.checkpoint.keep_last, state_.step);
  logging::flush();
}

// --- When numbers are no longer finite
// ------------------------------------------------------------------------------------

bool Trainer::everything_finite() {
  const Tensor& totals = learner_.training_loss().totals();
  return (!totals.defined() || std::isfinite(totals.to_vector<double>()[0])) && learner_.model_finite() &&
         learner_.loss_scale().value_or(1) >= Learner::kLeastLossScale;
}

// Goes back to the last checkpoint, from where updates are checked one by one; or ends the run.
void Trainer::recover() {
  const int64_t step = state_.step;
  const bool back = settings_.on_nonfinite == OnNonFinite::rollback && step > state_.guarded_until;
  const auto checkpoint = back && store_ ? latest_checkpoint(store_->folder()) : std::nullopt;
  if (group_.broadcast_text(checkpoint ? "back" : "", "checkpoint to go back to").empty()) {
    const bool scaled_away = learner_.loss_scale().value_or(1) < Learner::kLeastLossScale;
    give_up(format("{} not finite (steps {} to {})",
                   scaled_away ? "at any loss scale gradients in fp16 are"
                               : "the training loss, a parameter or a running statistic is",
                   state_.logged_step + 1, step));
  }
  if (checkpoint) {
    load(*checkpoint);
    store_->go_on_from(state_.step, state_.best_step());
    log_.emplace(store_->folder().parent_path(), log_options(experiment_),
                 MetricsLog::Sizes{state_.log.jsonl, state_.log.csv});
  }
  share_state();
  state_.guarded_until = step;
  logging::warning(
      format("step {}: loss or parameters are not finite; back to step {}, whose updates are now checked one "
             "by one",
             step, state_.step));
}

void Trainer::give_up(const std::string& why) {
  progress_->clear();
  std::string hint = "lower optimizer.lr, or set trainer.clip_grad_norm";
  if (settings_.on_nonfinite == OnNonFinite::stop) hint += ", or see trainer.on_nonfinite: skip, rollback";
  const std::vector<int64_t> steps = store_ ? checkpoint_steps(store_->folder()) : std::vector<int64_t>();
  if (!steps.empty()) hint += format("; {} is from before", store_->path_of(steps.back()).string());
  // All ranks are here, and only rank 0 knows the folder: they say the same.
  throw NonFiniteError(why, group_.broadcast_text(hint, "where to go on from"));
}

// --- The end
// --------------------------------------------------------------------------------------------------------------

bool Trainer::out_of_time() const {
  return settings_.max_time && seconds_since(started_) >= settings_.max_time->amount;
}

std::string Trainer::stop_reason() const {
  if (signals_ && signals_->requested()) return std::string(signals_->name());
  return out_of_time() ? format("trainer.max_time ({})", settings_.max_time->text()) : "a signal to another rank";
}

double Trainer::seconds() const { return seconds_before_ + seconds_since(begin_); }

}  // namespace rstorch
