// Trainer: takes a run from where it is to its end, or to where it was asked to stop.
//
// After each step it does what is due: a line in the log, a validation, a checkpoint. A run that was stopped or killed
// and started again goes through the same steps with the same bits as one that was not.
#pragma once

#include <optional>
#include <string>

#include "data/loader.h"
#include "train/cadence.h"
#include "train/checkpoint.h"
#include "train/evaluator.h"
#include "train/fault.h"
#include "train/goal.h"
#include "train/learner.h"
#include "train/metrics_log.h"
#include "train/progress.h"
#include "train/run_directory.h"
#include "train/stop_signals.h"
#include "train/training_state.h"

namespace rstorch {

// Limits of a run beside those of its config.
struct RunLimits {
  std::optional<int64_t> steps = {};
  std::optional<int64_t> samples = {};  // of each dataset
  std::optional<Fault> fault = {};
  static RunLimits smoke() { return {.steps = 8, .samples = 64}; }
};

class Trainer {
 public:
  enum class Outcome {
    finished,
    stopped,  // by a signal or max_time, after a complete checkpoint
  };

  // All must outlive it. `start` on rank 0, which writes; null on the others, which take over what it has.
  Trainer(const Experiment& experiment, const data::OpenedData& data, Learner learner, const RunStart* start,
          RunEnd end, dist::ProcessGroup& group, const std::optional<Fault>& fault = {});

  Outcome run();

  const TrainingState& state() const { return state_; }
  Learner& learner() { return learner_; }
  std::string stop_reason() const;
  const std::optional<Goal>& goal() const { return best_goal_; }  // of the best checkpoint
  Metrics metrics() const;                                        // the latest of each name
  double seconds() const;                                         // of training, in all processes of the run

 private:
  void load(const Checkpoint& checkpoint);
  void share_state();
  void train_step();
  bool finish_step();
  bool stop();
  void write_training_line();
  void note_validation(const Metrics& values);
  void write_line(const Metrics& values);
  void say_where_we_are(bool validated);
  bool has_checkpoint();
  void save();
  void write_checkpoint();
  bool everything_finite();
  void recover();
  [[noreturn]] void give_up(const std::string& why);

  bool is_last_step() const { return end_.is_last(state_.step); }
  bool is_best() const { return state_.best && state_.best->step == state_.step; }
  bool out_of_time() const;
  bool stop_requested() const { return (signals_ && signals_->requested()) || out_of_time(); }

  // What all ranks have to see alike, though each has its own clock and its own signals.
  struct Agreed {
    bool stop = false;   // some rank was asked to
    double seconds = 0;  // of training, by the clock of rank 0
  };
  // Exchanged while a step is computed: by the state at its beginning.
  class Agreement;
  bool agree_to_stop();

  const Experiment& experiment_;
  const TrainerSection& settings_;
  dist::ProcessGroup& group_;
  std::optional<Fault> fault_;
  data::DataLoader loader_;
  int64_t epoch_steps_;
  std::optional<data::DataLoader> val_loader_;
  RunEnd end_;
  Learner learner_;
  Evaluator evaluator_;
  std::optional<Goal> best_goal_;
  config::Value data_state_;
  std::string config_text_;
  std::optional<CheckpointStore> store_;  // rank 0 alone
  std::optional<StopSignals> signals_;    // one object in a process

  TrainingState state_;
  Agreed agreed_;
  Clock::time_point started_;  // this process
  Clock::time_point begin_;    // since the state was loaded
  double seconds_before_ = 0;  // up to then
  double last_said_ = 0;
  double rate_ = 0;  // samples per second
  std::optional<data::BatchStream> batches_;
  std::optional<MetricsLog> log_;  // rank 0 alone
  std::optional<Progress> progress_;
  Cadence log_cadence_;
  Cadence val_cadence_;
  Cadence save_cadence_;
};

}  // namespace rstorch
