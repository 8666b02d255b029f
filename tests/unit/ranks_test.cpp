// Training on many ranks gives what one gives. Ranks are threads here; tests/e2e/ranks.sh has processes.
#include <cmath>

#include <doctest/doctest.h>

#include "fault_injection.h"  // for its fsync, which does not wait
#include "temporary_folder.h"
#include "train/agreement.h"
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
trainer: {max_steps: 100, log_every: 7 steps, val_every: 1 epoch, clip_grad_norm: 1.0, ema: {decay: 0.95}}
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

// Optimizer state is shared out over ranks: weights of 108x24 lie in several shares, no block divides evenly, and of
// four shares of the biases some hold none.
TEST_CASE("distributed.zero changes no bit of weights, optimizer state and metrics") {
  const QuietLog quiet;
  const TemporaryFolder folder;
  for (const auto& [name, text] : kModels) {
    const std::string config = std::string(kFrame) + text;
    for (const int ranks : {1, 2, 3, 4}) {
      for (const char* parts : {"trainer.micro_batch_size=16", "trainer.micro_batch_size=2"}) {
        CAPTURE(name);
        CAPTURE(ranks);
        CAPTURE(parts);
        const auto train_as = [&](int zero) {
          const std::string dir = run_dir(folder, format("{} {} {} {}", name, ranks, parts, zero));
          return train_with_ranks(ranks, config, {dir, parts, format("distributed.zero={}", zero)});
        };
        check_same_end(train_as(0).run, train_as(1).run);
      }
    }
  }
}

TEST_CASE("with distributed.zero optimizer state is put together on rank 0 alone") {
  const QuietLog quiet;
  for (const auto& [name, text] : kModels) {
    CAPTURE(name);
    const Experiment experiment = experiment_of(std::string(kFrame) + text, {"distributed.zero=1"});
    std::vector<size_t> names(2);
    dist::run_ranks(2, [&](dist::ProcessGroup& group) {
      const data::OpenedData data = open_data(experiment, {});
      Learner learner = make_learner(experiment, *data.train, run_length(experiment, *data.train), kCPU, group);
      names[size_t(group.rank())] = learner.optimizer_state().size();
    });
    CHECK(names[0] == (name == kModels[0].name ? 8 : 18));
    CHECK(names[1] == 0);
  }
}

TEST_CASE("all ranks go on with rank 0's frozen weights, whatever they drew themselves") {
  const QuietLog quiet;
  const TemporaryFolder folder;
  const std::string config = std::string(kFrame) + kModels[0].text;
  const auto train_as = [&](int ranks, const std::vector<std::string>& more) {
    std::vector<std::string> overrides = {run_dir(folder, "frozen"), "model.weights={freeze: [\".*weight\"]}"};
    overrides.insert(overrides.end(), more.begin(), more.end());
    return train_with_ranks(ranks, config, overrides).step;
  };
  CHECK(train_as(1, {"trainer.max_steps=9"}) == 9);
  CHECK(train_as(3, {"trainer.max_steps=14", "checkpoint.resume=auto", "seed=99"}) == 14);
}

TEST_CASE("a checkpoint keeps its bits on any number of ranks, with their optimizer state shared out or not") {
  const QuietLog quiet;
  const TemporaryFolder folder;
  struct Ranks {
    int count;
    int zero;
  };
  for (const auto& [name, text] : kModels) {
    CAPTURE(name);
    const std::string config = std::string(kFrame) + text;
    const auto train_as = [&](Ranks ranks, const std::vector<std::string>& more) {
      std::vector<std::string> overrides = {run_dir(folder, name), format("distributed.zero={}", ranks.zero)};
      overrides.insert(overrides.end(), more.begin(), more.end());
      return train_with_ranks(ranks.count, config, overrides).run;
    };
    const fs::path first = train_as({1, 0}, {"trainer.max_steps=9"});
    fs::path last = first;
    for (const Ranks ranks : {Ranks{2, 1}, {4, 1}, {4, 0}, {4, 1}, {1, 1}, {3, 1}, {1, 0}}) {
      CAPTURE(ranks.count);
      CAPTURE(ranks.zero);
      // Read, shared out, put together and written again, without a step.
      last = train_as(ranks, {"trainer.max_steps=9", "checkpoint.resume=" + last.string()});
      for (const char* file : {"model.safetensors", "trainer.safetensors"}) {
        CHECK(files::read_text(first / "checkpoints/last" / file) ==
              files::read_text(last / "checkpoints/last" / file));
      }
    }
  }
}

TEST_CASE("a run of 3 ranks that was killed goes on with the same bits after distributed.zero was changed") {
  const QuietLog quiet;
  const TemporaryFolder folder;
  const std::string config = std::string(kFrame) + kModels[1].text;
  const auto train_in = [&](const std::string& name, int zero) {
    return train_with_ranks(3, config,
                            {run_dir(folder, name), format("distributed.zero={}", zero), "checkpoint.every=13 steps",
                             "checkpoint.keep_last=100", "checkpoint.resume=auto"});
  };
  const TrainResult whole = train_in("whole", 1);
  for (const int zero : {0, 1}) {
    CAPTURE(zero);
    const std::string name = format("from 65 with {}", zero);
    copy_as_killed(whole.run, 65, folder.path() / name);
    check_same_end(whole.run, train_in(name, zero).run);
  }
}

TEST_CASE("one rank that is told to stop stops all, after the same step, with a checkpoint") {
  const QuietLog quiet;
  const TemporaryFolder folder;
  for (const int zero : {0, 1}) {
    const TrainResult result =
        train_with_ranks(3, std::string(kFrame) + kModels[0].text,
                         {run_dir(folder, format("time {}", zero)), "trainer.max_steps=100000000",
                          "trainer.max_time=0.2s", format("distributed.zero={}", zero)});
    CHECK(result.outcome == Trainer::Outcome::stopped);
    CHECK(read_training_state(Checkpoint(result.run)).step == result.step);
    CHECK(result.step > 0);
  }
}

TEST_CASE("ranks with other settings of how they work together are told") {
  const auto agree = [](dist::ProcessGroup& group) {
    const std::string config = std::string(kFrame) + kModels[0].text;
    agree_on_config(group, experiment_of(config, {format("distributed.zero={}", group.rank())}));
  };
  CHECK_THROWS_WITH_AS(dist::run_ranks(2, agree),
                       "rank 1 has another config than rank 0: it differs in distributed.zero", ConfigError);
  CHECK(contains(errors_of(std::string(kFrame) + kModels[0].text, {"distributed.zero=2"}), "distributed.zero"));
}
