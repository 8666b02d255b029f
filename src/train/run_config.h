// The sections of a config file that belong to the run as a whole. Sections with kinds (data, model, loss, ...) are
// kept as values here; train/experiment.h has them read by their layers.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "config/fields.h"
#include "train/kinds.h"
#include "train/metric.h"

namespace rstorch {

using config::Duration;
using config::Unit;

enum class Precision { fp32, tf32, bf16, fp16 };
constexpr auto names_of(Precision) {
  return config::names<Precision>(
      {{Precision::fp32, "fp32"}, {Precision::tf32, "tf32"}, {Precision::bf16, "bf16"}, {Precision::fp16, "fp16"}});
}

enum class OnNonFinite { stop, skip, rollback };
constexpr auto names_of(OnNonFinite) {
  return config::names<OnNonFinite>(
      {{OnNonFinite::stop, "stop"}, {OnNonFinite::skip, "skip"}, {OnNonFinite::rollback, "rollback"}});
}

// Whether steps on a GPU are replayed as a CUDA graph. automatic: where they can be.
enum class GraphMode { automatic, on, off };
constexpr auto names_of(GraphMode) {
  return config::names<GraphMode>({{GraphMode::automatic, "auto"}, {GraphMode::on, "on"}, {GraphMode::off, "off"}});
}

// Which direction of a metric is better. automatic: as the metric itself says.
enum class Mode { automatic, min, max };
constexpr auto names_of(Mode) {
  return config::names<Mode>({{Mode::automatic, "auto"}, {Mode::min, "min"}, {Mode::max, "max"}});
}

struct RunSection {
  std::string name = "run";
  std::string dir = "runs";
  static void describe(auto& field) {
    field("name", &RunSection::name, "Name of the run's folder; left out: the config's file name.", config::non_empty);
    field("dir", &RunSection::dir, "Where run folders are made.", config::non_empty);
  }
  void validate(const config::Value& at, config::Report& report) const;
};

struct EarlyStopping {
  std::string metric = "val.loss";
  Mode mode = Mode::automatic;
  Duration patience = Duration::epochs(5);
  static void describe(auto& field) {
    field("metric", &EarlyStopping::metric, "What has to get better.");
    field("mode", &EarlyStopping::mode, "Whether min or max is better; auto: as the metric says.");
    field("patience", &EarlyStopping::patience, "Training ends so long after the best value.",
          config::units(Unit::epochs, Unit::steps), config::default_unit(Unit::epochs), config::positive);
  }
};

// Validation and `rstorch eval` look at the averages in place of the weights.
struct EmaSection {
  double decay = 0.999;
  static void describe(auto& field) {
    field("decay", &EmaSection::decay, "What is kept of the averages at each step.", config::in_range(0.0, 1.0));
  }
};

struct TrainerSection {
  std::optional<int64_t> max_epochs;
  std::optional<int64_t> max_steps;
  std::optional<Duration> max_time;
  Precision precision = Precision::fp32;
  GraphMode graph = GraphMode::automatic;
  std::optional<int64_t> micro_batch_size;
  std::optional<double> clip_grad_norm;
  std::optional<EmaSection> ema;
  std::optional<EarlyStopping> early_stopping;
  Duration val_every = Duration::epochs(1);
  Duration log_every = Duration::steps(50);
  OnNonFinite on_nonfinite = OnNonFinite::stop;
  static void describe(auto& field) {
    field("max_epochs", &TrainerSection::max_epochs, "Training ends after so many passes over the data.",
          config::in_range(1, 1'000'000'000));
    field("max_steps", &TrainerSection::max_steps, "Training ends after so many updates.",
          config::in_range(1, 1'000'000'000'000'000));
    field("max_time", &TrainerSection::max_time, "The process saves and stops with exit code 75 after so long.",
          config::units(Unit::seconds), config::positive);
    field("precision", &TrainerSection::precision,
          "Arithmetic of forward and backward passes on a GPU; parameters stay fp32. tf32: products; bf16, fp16: mixed "
          "precision, for fp16 with dynamic loss scaling. A CPU computes in fp32.");
    field("graph", &TrainerSection::graph,
          "Steps on a GPU are recorded once and replayed as a CUDA graph: auto where that is possible, on or off.");
    field("micro_batch_size", &TrainerSection::micro_batch_size,
          "Samples at a time: the gradients of a batch are added up from such parts.", config::positive);
    field("clip_grad_norm", &TrainerSection::clip_grad_norm, "Largest norm of all gradients together.",
          config::positive);
    field("ema", &TrainerSection::ema,
          "Exponential moving average of the weights, which validation and rstorch eval use in their place.");
    field("early_stopping", &TrainerSection::early_stopping, "Ends training that no longer gets better.");
    field("val_every", &TrainerSection::val_every, "Time between validations.",
          config::units(Unit::epochs, Unit::steps), config::default_unit(Unit::steps), config::positive);
    field("log_every", &TrainerSection::log_every, "Time between lines in metrics.jsonl.",
          config::units(Unit::steps, Unit::epochs), config::default_unit(Unit::steps), config::positive);
    field(
        "on_nonfinite", &TrainerSection::on_nonfinite,
        "What an infinite or NaN loss or gradient does: stop with exit code 6; skip the update (checked before each); "
        "rollback to the last checkpoint and leave that batch out.");
  }
  void validate(const config::Value& at, config::Report& report) const;
};

struct KeepBest {
  std::string metric = "auto";
  Mode mode = Mode::automatic;
  static void describe(auto& field) {
    field("metric", &KeepBest::metric, "val.loss, val.accuracy, ...; auto: the first of `metrics`, else val.loss.");
    field("mode", &KeepBest::mode, "Whether min or max is better; auto: as the metric says.");
  }
};

struct CheckpointSection {
  Duration every = Duration::epochs(1);
  int64_t keep_last = 2;
  std::optional<KeepBest> keep_best = KeepBest{};
  std::string resume = "never";
  static void describe(auto& field) {
    field("every", &CheckpointSection::every, "Time between checkpoints: 1 epoch, 500 steps, 10 minutes.",
          config::units(Unit::epochs, Unit::steps, Unit::seconds), config::default_unit(Unit::steps), config::positive);
    field("keep_last", &CheckpointSection::keep_last, "The newest so many are kept.", config::at_least(1));
    field("keep_best", &CheckpointSection::keep_best, "Also save and keep the one that validates best; null: do not.");
    field("resume", &CheckpointSection::resume,
          "never: a new run; auto: continue an unfinished run of this name; or the path of a checkpoint to start from.",
          config::non_empty);
  }
};

struct LoggingSection {
  bool jsonl = true;
  bool csv = true;
  static void describe(auto& field) {
    field("jsonl", &LoggingSection::jsonl, "Write metrics.jsonl.");
    field("csv", &LoggingSection::csv, "Write metrics.csv.");
  }
};

enum class Backend { automatic, mpi, nccl };
constexpr auto names_of(Backend) {
  return config::names<Backend>({{Backend::automatic, "auto"}, {Backend::mpi, "mpi"}, {Backend::nccl, "nccl"}});
}

struct DistributedSection {
  Backend backend = Backend::automatic;
  Duration timeout = Duration::seconds(60);
  int64_t bucket_mb = 25;
  int64_t zero = 0;
  std::chrono::milliseconds patience() const { return std::chrono::milliseconds(int64_t(timeout.amount * 1e3)); }
  static void describe(auto& field) {
    field("backend", &DistributedSection::backend,
          "What ranks exchange tensors of GPUs through; auto: NCCL where each rank has a GPU of its own, else MPI.");
    field("timeout", &DistributedSection::timeout, "How long ranks wait for one that does not answer; 1s at least.",
          config::units(Unit::seconds), config::in_range(1, 1e7));
    field("bucket_mb", &DistributedSection::bucket_mb, "Gradients are summed over ranks in portions of this size.",
          config::in_range(1, 1024));
    field("zero", &DistributedSection::zero,
          "1: optimizer state is sharded over ranks (ZeRO stage 1): less memory, the same results.",
          config::in_range(0, 1));
  }
};

struct RunConfig {
  int64_t rstorch = 1;
  int64_t seed = 0;
  std::string device = "auto";
  RunSection run;
  config::Value data;
  config::Value model;
  config::Value loss;
  std::optional<std::vector<config::Value>> metrics;
  config::Value optimizer;
  config::Value lr_scheduler;
  TrainerSection trainer;
  CheckpointSection checkpoint;
  DistributedSection distributed;
  LoggingSection logging;
  config::Value expect;
  static void describe(auto& field) {
    field("rstorch", &RunConfig::rstorch, "Version of this format.", config::required, config::in_range(1, 1));
    field("seed", &RunConfig::seed, "Decides initial weights, order of the data, dropout and augmentation.",
          config::non_negative);
    field("device", &RunConfig::device, "auto (a GPU where there is one), cpu, cuda or cuda:INDEX.");
    field("run", &RunConfig::run, "Where the results go.");
    field("data", &RunConfig::data, "Datasets, batches and transforms.", config::required);
    field("model", &RunConfig::model, "Layers and initial weights.", config::required);
    field("loss", &RunConfig::loss, "What is minimised.", config::required, config::kind_of(loss_kinds));
    field("metrics", &RunConfig::metrics,
          "Measured at each validation beside the loss; accuracy for losses over classes.",
          config::each(config::kind_of(metric_kinds)));
    field("optimizer", &RunConfig::optimizer, "How parameters follow gradients.", config::required,
          config::kind_of(optimizer_kinds));
    field("lr_scheduler", &RunConfig::lr_scheduler, "Learning rate over time; constant where it is left out.",
          config::kind_of(schedule_kinds));
    field("trainer", &RunConfig::trainer, "How long, how often, and what when things go wrong.", config::required);
    field("checkpoint", &RunConfig::checkpoint, "When to save, what to keep, what to continue.");
    field("distributed", &RunConfig::distributed, "How ranks work together, where there are several.");
    field("logging", &RunConfig::logging, "Files with metrics.");
    field("expect", &RunConfig::expect, "Final metrics and what they must fulfil: {val.accuracy: \">= 0.95\"}.");
  }
};

}  // namespace rstorch
