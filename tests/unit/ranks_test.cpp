// Training on many ranks gives what one gives. Ranks are threads here; tests/e2e/ranks.sh has processes.
#include <cmath>

#include <doctest/doctest.h>

#include "fault_injection.h"  // for its fsync, which does not wait
#include "temporary_folder.h"
#include "training.h"

using namespace rstorch;

namespace {

struct Model {
  const char* name;
  const char* text;
};

// 70 samples in batches of 16: the last has 6, on 4 ranks 1 or 2 each.
constexpr const char* kFrame = R"(
rstorch: 1
seed: 7
run: {name: run}
data:
  batch_size: 16
  train: {type: random, shape: [3, 6, 6], classes: 3, size: 70}
  val: {type: random, shape: [3, 6, 6], classes: 3, size: 23, seed: 1}
loss: {CrossEntropyLoss: {label_smoothing: 0.1}}
lr_scheduler: {type: cosine, warmup: 5 steps}
trainer: {max_steps: 100, log_every: 7 steps, val_every: 1 epoch, clip_grad_norm: 1.0}
checkpoint: {keep_last: 1}
)";
constexpr Model kModels[] = {
    {"MLP", R"(
model: {input: {shape: [3, 6, 6]}, layers: [Flatten, {Linear: {out_features: 24}}, Tanh, {Linear: {out_features: 3}}]}
optimizer: {type: SGD, lr: 0.1, momentum: 0.9, weight_decay: 1e-3}
)"},
    {"LayerNorm and dropout", R"(
model: {input: {shape: [3, 6, 6]}, layers: [Flatten, {Linear: {out_features: 24}}, LayerNorm, GELU, {Dropout: {p: 0.3}}, {Linear: {out_features: 3}}]}
optimizer: {type: AdamW, lr: 1e-3, groups: [{match: ".*bias", weight_decay: 0}]}
)"},
};

double number_in(const std::string& line, const std::string& name) {
  config::Report none;
  const config::Value value = config::parse(line, "metrics.jsonl", none);
  return value.has(name) ? value.at(name).as_double() : 0;
}

// The largest difference of a metric that two runs wrote, relative.
double difference_of_metrics(const fs::path& a, const fs::path& b) {
  const std::vector<std::string> first = metrics_of(a), second = metrics_of(b);
  REQUIRE(first.size() == second.size());
  double most = 0;
  for (size_t i = 0; i < first.size(); ++i) {
    for (const char* name : {"train.loss", "val.loss", "val.accuracy"}) {
      const double x = number_in(first[i], name), y = number_in(second[i], name);
      if (x != 0) most = std::max(most, std::abs(x - y) / std::abs(x));
    }
  }
  return most;
}

// ||a - b|| / ||a|| over all weights.
double difference_of_weights(const TrainResult& a, const TrainResult& b) {
  double error = 0, size = 0;
  const Checkpoint first(a.run), second(b.run);
  for (const NamedTensor& named : first.model().tensors()) {
    if (!is_floating(named.tensor.dtype())) continue;
    const Tensor x = named.tensor.to(DType::f64), y = second.model().tensor(named.name).to(DType::f64);
    error += (x - y).pow(2).sum().item();
    size += x.pow(2).sum().item();
  }
  return std::sqrt(error / size);
}

std::string run_dir(const TemporaryFolder& folder, const std::string& name) {
  return "run.dir=" + (folder.path() / name).string();
}

}  // namespace

TEST_CASE("losses, metrics and weights of 2 and 4 ranks over 100 steps are those of one, with accumulation 1 and 2") {
  const QuietLog quiet;
  const TemporaryFolder folder;
  for (const auto& [name, text] : kModels) {
    const std::string config = std::string(kFrame) + text;
    const TrainResult one = train_text(config, {run_dir(folder, format("{} one", name))});
    for (const int ranks : {2, 4}) {
      for (const int parts : {1, 2}) {
        CAPTURE(name);
        CAPTURE(ranks);
        CAPTURE(parts);
        const std::string dir = run_dir(folder, format("{} {} ranks {} parts", name, ranks, parts));
        const TrainResult many =
            train_with_ranks(ranks, config, {dir, format("trainer.micro_batch_size={}", 16 / ranks / parts)});
        CHECK(many.step == 100);
        CHECK(difference_of_metrics(one.run, many.run) < 1e-6);
        CHECK(difference_of_weights(one, many) < 1e-6);
        const TrainResult again = train_with_ranks(
            ranks, config, {dir + " again", format("trainer.micro_batch_size={}", 16 / ranks / parts)});
        check_same_end(many.run, again.run);
      }
    }
  }
}

TEST_CASE("a run of 3 ranks that was killed goes on with the same bits, and on any number of ranks") {
  const QuietLog quiet;
  const TemporaryFolder folder;
  const std::string config = std::string(kFrame) + kModels[1].text;
  const std::vector<std::string> saving = {"checkpoint.every=13 steps", "checkpoint.keep_last=100"};
  const auto with = [&](const std::string& dir) {
    return std::vector<std::string>{dir, saving[0], saving[1], "checkpoint.resume=auto"};
  };
  const TrainResult whole = train_with_ranks(3, config, with(run_dir(folder, "whole")));
  for (const int64_t k : {13, 65}) {
    for (const int ranks : {3, 1, 2}) {
      CAPTURE(k);
      CAPTURE(ranks);
      const std::string name = format("from {} on {}", k, ranks);
      copy_as_killed(whole.run, k, folder.path() / name);
      const TrainResult part = train_with_ranks(ranks, config, with(run_dir(folder, name)));
      CHECK(part.step == 100);
      if (ranks == 3) check_same_end(whole.run, part.run);
      CHECK(difference_of_metrics(whole.run, part.run) < 1e-6);
      CHECK(difference_of_weights(whole, part) < 1e-6);
    }
  }
}

TEST_CASE("one rank that is told to stop stops all, after the same step, with a checkpoint") {
  const QuietLog quiet;
  const TemporaryFolder folder;
  const TrainResult result =
      train_with_ranks(3, std::string(kFrame) + kModels[0].text,
                       {run_dir(folder, "time"), "trainer.max_steps=100000000", "trainer.max_time=0.2s"});
  CHECK(result.outcome == Trainer::Outcome::stopped);
  CHECK(read_training_state(Checkpoint(result.run)).step == result.step);
  CHECK(result.step > 0);
}
