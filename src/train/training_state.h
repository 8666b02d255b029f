// state.json of a checkpoint: all that a run is, beside weights, optimizer state and config.
//
// Batch k is a pure function of (seed, k), random numbers are keyed by step and sample, and the learning rate is a
// function of the step; so `step` is the data position and the schedule's state too.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "config/fields.h"

namespace rstorch {

// The best value of a metric, and the step it was measured at.
struct BestValue {
  double value = 0;
  int64_t step = 0;
  static void describe(auto& field) {
    field("value", &BestValue::value, "Of the metric.");
    field("step", &BestValue::step, "When it was measured.");
  }
};

struct TrainingState {
  struct LossTotals {
    double sum = 0;  // of the losses since the last line of the log
    double samples = 0;
    static void describe(auto& field) {
      field("sum", &LossTotals::sum, "Sum of the losses.");
      field("samples", &LossTotals::samples, "What their mean divides by: samples, elements, or weights.");
    }
  };
  struct LogSizes {
    int64_t jsonl = 0;
    int64_t csv = 0;
    static void describe(auto& field) {
      field("jsonl", &LogSizes::jsonl, "Bytes of metrics.jsonl.");
      field("csv", &LogSizes::csv, "Bytes of metrics.csv.");
    }
  };

  int64_t step = 0;
  int64_t epoch = 0;
  int64_t epoch_steps = 0;
  int64_t seed = 0;
  double seconds = 0;
  bool finished = false;
  bool validated = false;
  int64_t logged_step = 0;
  LossTotals loss;
  std::optional<BestValue> best;
  std::optional<BestValue> stopping;
  std::map<std::string, double> metrics;
  int64_t guarded_until = 0;
  int64_t left_out = 0;
  LogSizes log;
  std::string folder;
  config::Value data;

  std::optional<int64_t> best_step() const { return best ? std::optional(best->step) : std::nullopt; }

  static void describe(auto& field) {
    field("step", &TrainingState::step, "Updates so far; the number of the next batch.");
    field("epoch", &TrainingState::epoch, "Complete passes over the data.");
    field("epoch_steps", &TrainingState::epoch_steps, "Steps of an epoch: what `step` means as a place in the data.");
    field("seed", &TrainingState::seed, "Of the run.");
    field("seconds", &TrainingState::seconds, "Of training, in all processes of the run together.");
    field("finished", &TrainingState::finished, "Whether the run came to its end.");
    field("validated", &TrainingState::validated, "Whether validation that was due at this step is done.");
    field("logged_step", &TrainingState::logged_step, "Step of the last line with a training loss.");
    field("loss", &TrainingState::loss, "Training loss since then.");
    field("best", &TrainingState::best, "Of the metric that chooses the best checkpoint.");
    field("stopping", &TrainingState::stopping, "Of the metric that early stopping watches.");
    field("metrics", &TrainingState::metrics, "The latest value of each metric.");
    field("guarded_until", &TrainingState::guarded_until, "Updates before this step are checked, after a rollback.");
    field("left_out", &TrainingState::left_out, "Updates left out, one after the other, up to this step.");
    field("log", &TrainingState::log, "Sizes of the metrics files.");
    field("folder", &TrainingState::folder, "Working folder of the run, where relative paths of its config begin.");
    field("data", &TrainingState::data, "What the dataset learnt from the training data.");
  }
};

class Checkpoint;
// Throws CheckpointError.
TrainingState read_training_state(const Checkpoint& checkpoint);

}  // namespace rstorch
