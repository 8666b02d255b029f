// Short training runs as tests make them: a config as text, a run folder, what is in it afterwards.
#pragma once

#include <algorithm>
#include <filesystem>
#include <sstream>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "base/log.h"
#include "config/dump.h"
#include "config/load.h"
#include "dist/thread_group.h"
#include "train/train.h"

namespace rstorch {

namespace fs = std::filesystem;

// Shuffle, dropout, a schedule, momentum, BatchNorm, a short last batch, validation and its best value.
inline constexpr const char* kEverything = R"(
rstorch: 1
seed: 7
run: {name: run}
data:
  batch_size: 8
  train: {type: random, shape: [6], classes: 3, size: 70}
  val: {type: random, shape: [6], classes: 3, size: 20, seed: 1}
model:
  input: {shape: [6]}
  layers: [{Linear: {out_features: 12}}, BatchNorm1d, ReLU, {Dropout: {p: 0.3}}, {Linear: {out_features: 3}}]
loss: CrossEntropyLoss
optimizer: {type: SGD, lr: 0.1, momentum: 0.9, weight_decay: 1e-3}
lr_scheduler: {type: cosine, warmup: 5 steps}
trainer: {max_steps: 60, log_every: 7 steps, val_every: 1 epoch, clip_grad_norm: 1.0, ema: {decay: 0.9}}
checkpoint: {every: 1 steps, keep_last: 100}
)";

class QuietLog {
 public:
  QuietLog() { logging::set_stderr(false); }
  ~QuietLog() {
    logging::set_file("");
    logging::set_stderr(true);
  }
};

inline Experiment experiment_of(const std::string& text, const std::vector<std::string>& overrides = {}) {
  config::Report report;
  Experiment experiment = Experiment::read(config::load_text(text, "test.yaml", overrides, report), report);
  report.throw_if_errors();
  return experiment;
}

inline std::string errors_of(const std::string& text, const std::vector<std::string>& overrides = {}) {
  config::Report report;
  Experiment::read(config::load_text(text, "test.yaml", overrides, report), report);
  return report.render();
}

inline TrainResult train_text(const std::string& text, const std::vector<std::string>& overrides) {
  const Experiment experiment = experiment_of(text, overrides);
  return train({experiment, text, {}}, *dist::single());
}

// With ranks that are threads; what rank 0 has.
inline TrainResult train_with_ranks(int ranks, const std::string& text, const std::vector<std::string>& overrides) {
  const Experiment experiment = experiment_of(text, overrides);
  TrainResult result;
  dist::run_ranks(ranks, [&](dist::ProcessGroup& group) {
    if (!group.is_root()) logging::mute_thread();
    const TrainResult mine = train({experiment, text, {}}, group);
    if (group.is_root()) result = mine;
  });
  return result;
}

inline bool contains(const std::string& text, const std::string& part) {
  if (text.find(part) != std::string::npos) return true;
  MESSAGE(format("\"{}\" does not contain \"{}\"", text, part));
  return false;
}

// Lines of metrics.jsonl without what depends on the clock.
inline std::vector<std::string> metrics_of(const fs::path& run) {
  std::vector<std::string> lines;
  std::istringstream in(files::read_text(run / "metrics.jsonl"));
  for (std::string line; std::getline(in, line);) {
    config::Report none;
    config::Value value = config::parse(line, "metrics.jsonl", none);
    value.erase("time");
    value.erase("samples_per_s");
    lines.push_back(config::to_json(value));
  }
  return lines;
}

inline void check_same_end(const fs::path& a, const fs::path& b) {
  for (const char* file : {"model.safetensors", "trainer.safetensors"}) {
    CHECK(files::read_text(a / "checkpoints/last" / file) == files::read_text(b / "checkpoints/last" / file));
  }
  CHECK(metrics_of(a) == metrics_of(b));
  CHECK(fs::read_symlink(a / "checkpoints/best") == fs::read_symlink(b / "checkpoints/best"));
}

// What a process that was killed right after saving step k leaves below `root`: later lines in the metrics, no later
// checkpoint. Returns the run's folder.
inline fs::path copy_as_killed(const fs::path& whole, int64_t k, const fs::path& root) {
  const fs::path run = root / "run", checkpoints = run / "checkpoints";
  fs::create_directories(checkpoints);
  for (const char* file : {"metrics.jsonl", "metrics.csv"}) fs::copy(whole / file, run / file);
  fs::copy(whole / "checkpoints" / checkpoint_name(k), checkpoints / checkpoint_name(k));
  const TrainingState state = read_training_state(Checkpoint(checkpoints / checkpoint_name(k)));
  fs::create_directory_symlink(checkpoint_name(std::min(state.best->step, k)), checkpoints / "best");
  return run;
}

inline double loss_at_end(const TrainResult& result) { return *find_metric(result.metrics, "train.loss"); }

inline Tensor weights_of(const TrainResult& result, const std::string& name) {
  return Checkpoint(result.run).model().tensor(name).clone();
}

}  // namespace rstorch
