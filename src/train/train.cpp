#include "train/train.h"

#include <algorithm>
#include <numeric>

#include <omp.h>

#include "base/log.h"
#include "config/dump.h"
#include "config/load.h"
#include "train/agreement.h"
#include "train/config_changes.h"
#include "train/rank_device.h"

namespace rstorch {
namespace {

using config::Value;

data::DatasetPtr first_samples(data::DatasetPtr dataset, int64_t count) {
  if (!dataset || dataset->size() <= count) return dataset;
  std::vector<int64_t> indices(static_cast<size_t>(count));
  std::iota(indices.begin(), indices.end(), 0);
  return std::make_shared<data::Subset>(std::move(dataset), std::move(indices));
}

// "batch 512 = 64 x 2 x 4 ranks": samples of a rank at a time, how often, ranks; "batch 33 <= ..." where they do not
// divide it, and some have fewer.
std::string describe_batch(const Experiment& experiment, int ranks) {
  const int64_t batch = experiment.data.config().batch_size;
  const int64_t share = (batch + ranks - 1) / ranks;
  const int64_t part = std::min(share, experiment.config.trainer.micro_batch_size.value_or(share));
  std::string text = format("batch {}", batch);
  const int64_t times = (share + part - 1) / part;
  if (part < batch) text += format(" {} {}", part * times * ranks == batch ? "=" : "<=", part);
  if (times > 1) text += format(" x {}", times);
  if (ranks > 1) text += format(" x {} ranks", ranks);
  return text;
}

// Paths of what differs from the config that the checkpoint was written with.
std::vector<std::string> changes_since(const Experiment& experiment, const Checkpoint& from) {
  config::Report ignored;
  return config_changes(config::parse(from.config_text(), "config.yaml", ignored), experiment.resolved);
}

void warn_of_changes(const Experiment& experiment, const data::OpenedData& data, const Checkpoint& from,
                     std::vector<std::string> changed) {
  // How long a run lasts may change, but the rates of most schedules depend on it.
  const auto is_length = [](const std::string& path) {
    return path == "trainer.max_epochs" || path == "trainer.max_steps";
  };
  if (std::erase_if(changed, is_length) > 0 && experiment.schedule.name() != "constant") {
    logging::warning(format("the length of the run has changed: lr_scheduler `{}` gives the rates of the new length",
                            experiment.schedule.name()));
  }
  if (!changed.empty()) {
    logging::warning(format("the config differs from the checkpoint's in: {}; this one holds", join(changed, ", ")));
  }
  const auto redraws = [](const std::string& path) { return path == "seed" || path == "data.val_fraction"; };
  if (experiment.data.config().val_fraction > 0 && std::ranges::any_of(changed, redraws)) {
    logging::warning(
        "the validation samples are drawn anew: some were trained on before, so val.* looks better than it is");
  }
  if (read_training_state(from).data != data.state) {
    logging::warning("the training data is not what it was when the checkpoint was written");
  }
}

// A checkpoint of another model or optimizer: what was changed says more than the keys that do not fit.
[[noreturn]] void refuse_checkpoint(const CheckpointError& error, const Checkpoint& from,
                                    const std::vector<std::string>& changed) {
  std::string message = error.what();
  if (!changed.empty()) message += format("\nthe config differs from the checkpoint's in: {}", join(changed, ", "));
  throw CheckpointError(format("{} does not fit this config: {}", from.folder().string(), message),
                        error.hint().empty()
                            ? "bring back what the config was; or begin a new run, with the weights that fit: "
                              "model.weights={load: CHECKPOINT, strict: false}"
                            : error.hint());
}

void write_configs(const files::Path& run, const TrainRequest& request) {
  files::write_atomically(run / "config.yaml", request.config_text);
  files::write_atomically(run / "config.resolved.yaml", config::dump_yaml(request.experiment.resolved));
}

// Overrides with which a run that has reached its end goes on for as long again.
std::vector<std::string> longer(const TrainerSection& settings, const optim::RunLength& length, const RunEnd& end,
                                const TrainingState& state) {
  std::vector<std::string> out;
  const int64_t epochs = (state.step + length.steps_per_epoch - 1) / length.steps_per_epoch;
  if (settings.max_steps && *settings.max_steps <= state.step)
    out.push_back(format("trainer.max_steps={}", 2 * state.step));
  if (settings.max_epochs && *settings.max_epochs <= epochs) out.push_back(format("trainer.max_epochs={}", 2 * epochs));
  if (end.out_of_patience(state)) out.emplace_back("~trainer.early_stopping");
  return out;
}

TrainResult nothing_to_do(const files::Path& run, const TrainingState& state) {
  TrainResult result;
  result.nothing_to_do = true;
  result.run = run;
  result.step = state.step;
  result.seconds = state.seconds;
  result.metrics = {state.metrics.begin(), state.metrics.end()};
  return result;
}

TrainResult run_to_end(Trainer& trainer) {
  TrainResult result;
  result.outcome = trainer.run();
  result.step = trainer.state().step;
  result.seconds = trainer.seconds();
  result.metrics = trainer.metrics();
  if (result.outcome == Trainer::Outcome::stopped) result.stop_reason = trainer.stop_reason();
  return result;
}

// What rank 0 found in the run's folder, said to the others.
constexpr const char* kNothingToDo = "nothing to do";
constexpr const char* kTrain = "train";

}  // namespace

data::OpenedData open_data(const Experiment& experiment, const RunLimits& limits) {
  data::OpenedData data = experiment.data.open(experiment.seed());
  if (!limits.samples) return data;
  data.train = first_samples(std::move(data.train), *limits.samples);
  data.val = first_samples(std::move(data.val), *limits.samples);
  return data;
}

std::string describe_run(const data::OpenedData& data, const nn::Module& model, Device device) {
  std::string text = format("{} samples to train on", data.train->size());
  if (data.val) text += format(", {} to validate", data.val->size());
  text += format("; {} parameters; {}", model.parameter_count(), device.text());
  if (!device.is_cpu()) return text;
  const int threads = omp_get_max_threads();
  return text + format(", {} thread{}", threads, threads == 1 ? "" : "s");
}

TrainResult train(const TrainRequest& request, dist::ProcessGroup& group) {
  const Experiment& experiment = request.experiment;
  const RunConfig& config = experiment.config;
  agree_on_config(group, experiment);
  const Device device = prepare_device(experiment, group);
  auto busy = group.busy("opening the data");
  const data::OpenedData data = open_data(experiment, request.limits);
  busy.reset();
  agree_on_data(group, data);

  // All that may go wrong with what the user gave goes wrong before there is a run folder.
  const optim::RunLength length = run_length(experiment, *data.train);
  const RunEnd end = run_end(experiment, length, request.limits.steps);
  Learner learner = make_learner(experiment, *data.train, length, device, group);
  if (!group.is_root()) {
    TrainResult result;
    result.nothing_to_do = group.broadcast_text({}, "what to do") == kNothingToDo;
    if (result.nothing_to_do) return result;
    Trainer trainer(experiment, data, std::move(learner), nullptr, end, group, request.limits.fault);
    return run_to_end(trainer);
  }

  busy = group.busy("preparing the run folder");
  RunStart start = start_run(config.run.dir, config.run.name, config.checkpoint.resume);
  busy.reset();
  const files::Path run = start.directory.path();
  if (start.finished) {
    const TrainingState state = read_training_state(*start.from);
    if (end.reached(state)) {
      group.broadcast_text(kNothingToDo, "what to do");
      TrainResult result = nothing_to_do(run, state);
      result.longer = longer(config.trainer, length, end, state);
      check_expectations(experiment.expectations, result.metrics, run.string());
      return result;
    }
  }
  group.broadcast_text(kTrain, "what to do");
  logging::set_file((run / "train.log").string());
  const auto changed = start.from ? changes_since(experiment, *start.from) : std::vector<std::string>();
  std::optional<Trainer> made;
  try {
    made.emplace(experiment, data, std::move(learner), &start, end, group, request.limits.fault);
  } catch (const CheckpointError& error) {
    if (start.from) refuse_checkpoint(error, *start.from, changed);
    throw;
  }
  Trainer& trainer = *made;
  if (start.from) warn_of_changes(experiment, data, *start.from, changed);
  write_configs(run, request);
  start.directory.keep();

  logging::info(format("{}: {}, {}", run.filename().string(), describe_run(data, trainer.learner().model(), device),
                       describe_batch(experiment, group.size())));
  if (start.from) logging::info(format("from {}", start.from->folder().string()));
  TrainResult result = run_to_end(trainer);
  result.run = run;
  if (result.outcome == Trainer::Outcome::finished) {
    check_expectations(experiment.expectations, result.metrics, run.string());
  }
  return result;
}

}  // namespace rstorch
