// Training runs: what they compute, where they stop, and that they go on with the same bits.
#include <cmath>
#include <csignal>

#include <doctest/doctest.h>

#include "fault_injection.h"  // for its fsync, which does not wait
#include "fixture.h"
#include "temporary_folder.h"
#include "tests/sanitized.h"
#include "train/bench.h"
#include "train/plan.h"
#include "train/predict.h"
#include "train/saved_model.h"
#include "train/stop_signals.h"
#include "training.h"

using namespace rstorch;

TEST_SUITE("resume") {
  TEST_CASE("after each of 60 steps: the same weights, optimizer state and metrics") {
    const QuietLog quiet;
    const TemporaryFolder folder;
    const std::string whole_dir = "run.dir=" + (folder.path() / "whole").string();
    const TrainResult whole = train_text(kEverything, {whole_dir});
    CHECK(whole.outcome == Trainer::Outcome::finished);
    CHECK(whole.step == 60);
    const fs::path checkpoints = whole.run / "checkpoints";
    REQUIRE(checkpoint_steps(checkpoints).size() == 60);

    int equal = 0;
    for (int64_t k = 1; k < 60; ++k) {
      CAPTURE(k);
      const fs::path root = folder.path() / "part";
      const fs::path run = copy_as_killed(whole.run, k, root);
      const TrainResult part =
          train_text(kEverything, {"run.dir=" + root.string(), "checkpoint.resume=auto", "checkpoint.every=1 epoch"});
      CHECK(part.run == run);
      check_same_end(whole.run, part.run);
      equal += files::read_text(whole.run / "checkpoints/last/model.safetensors") ==
               files::read_text(part.run / "checkpoints/last/model.safetensors");
      fs::remove_all(root);
    }
    CHECK(equal == 59);  // and the 60th is the run itself:
    const TrainResult again = train_text(kEverything, {whole_dir, "checkpoint.resume=auto"});
    CHECK(again.nothing_to_do);
    check_same_end(whole.run, again.run);
  }

  TEST_CASE("a stop before a validation that is due: it is made up for, once") {
    const QuietLog quiet;
    const TemporaryFolder folder;
    const TrainResult whole = train_text(kEverything, {"run.dir=" + (folder.path() / "whole").string()});
    const fs::path run = folder.path() / "part/run";
    fs::create_directories(run / "checkpoints");
    fs::copy(whole.run / "metrics.jsonl", run / "metrics.jsonl");
    // Step 9 ends the first epoch. The state that a signal at that moment leaves has its training line but no
    // validation.
    const Checkpoint saved(whole.run / "checkpoints" / checkpoint_name(9));
    TrainingState state = read_training_state(saved);
    state.validated = false;
    state.best.reset();
    state.metrics.erase("val.loss");
    state.metrics.erase("val.accuracy");
    std::string text = files::read_text(whole.run / "metrics.jsonl");
    size_t end = 0;
    for (int line = 0; line < 2; ++line) end = text.find('\n', end) + 1;  // steps 7 and 9
    state.log.jsonl = int64_t(end);
    CheckpointStore store(run / "checkpoints");
    store.save(9, {saved.model().tensors(), saved.trainer().tensors(), config::write(state), saved.config_text()});
    const TrainResult part =
        train_text(kEverything, {"run.dir=" + (folder.path() / "part").string(), "checkpoint.resume=auto"});
    check_same_end(whole.run, part.run);
  }

  TEST_CASE("max_time stops with a checkpoint; the rest gives the same bits") {
    const QuietLog quiet;
    const TemporaryFolder folder;
    const TrainResult whole = train_text(kEverything, {"run.dir=" + (folder.path() / "whole").string()});
    const std::vector<std::string> part = {"run.dir=" + (folder.path() / "part").string(), "checkpoint.resume=auto",
                                           format("trainer.max_time={}ms", kSlowdown)};
    TrainResult result;
    int processes = 0;
    do {
      result = train_text(kEverything, part);
      ++processes;
      if (result.outcome == Trainer::Outcome::stopped)
        CHECK(result.stop_reason == format("trainer.max_time ({}s)", kSlowdown / 1000));
    } while (result.outcome == Trainer::Outcome::stopped && processes < 100);
    CHECK(result.outcome == Trainer::Outcome::finished);
    CHECK(processes > 2);
    check_same_end(whole.run, result.run);
  }

  TEST_CASE("a finished run goes on when its config wants more: as a run of that length") {
    const QuietLog quiet;
    const TemporaryFolder folder;
    const std::vector<std::string> common = {"lr_scheduler=constant", "checkpoint.resume=auto"};
    const auto to = [&](const char* dir, std::vector<std::string> overrides) {
      overrides.insert(overrides.end(), common.begin(), common.end());
      overrides.push_back("run.dir=" + (folder.path() / dir).string());
      return train_text(kEverything, overrides);
    };
    const TrainResult whole = to("whole", {"trainer.max_steps=45"});
    CHECK(to("part", {"trainer.max_steps=27"}).step == 27);
    const TrainResult over = to("part", {"trainer.max_steps=27"});
    CHECK(over.nothing_to_do);
    CHECK(over.longer == std::vector<std::string>{"trainer.max_steps=54"});
    const TrainResult more = to("part", {"trainer.max_steps=45"});
    CHECK(more.step == 45);
    check_same_end(whole.run, more.run);
    CHECK(to("part", {"trainer.max_steps=30"}).nothing_to_do);

    const std::string patience = "trainer.early_stopping={metric: val.loss, patience: 1 steps}";
    const TrainResult early = to("early", {"trainer.max_steps=5000", patience});
    CHECK(early.step < 5000);
    CHECK(to("early", {"trainer.max_steps=5000", patience}).longer ==
          std::vector<std::string>{"~trainer.early_stopping"});
    CHECK(to("early", {format("trainer.max_steps={}", early.step + 1)}).step == early.step + 1);
  }

  TEST_CASE("from a checkpoint by path: a new folder, and its own end") {
    const QuietLog quiet;
    const TemporaryFolder folder;
    const std::string dir = "run.dir=" + folder.path().string();
    const TrainResult first = train_text(kEverything, {dir, "trainer.max_steps=20"});
    const TrainResult second =
        train_text(kEverything, {dir, "checkpoint.resume=" + (first.run / "checkpoints/last").string()});
    CHECK(second.run == folder.path() / "run-2");
    CHECK(second.step == 60);
    CHECK(metrics_of(second.run).front().starts_with("{\"step\": 21,"));
  }

  TEST_CASE("from a checkpoint by path: patience and metrics are the new run's own") {
    const QuietLog quiet;
    const TemporaryFolder folder;
    std::vector<std::string> overrides = {"run.dir=" + folder.path().string(), "trainer.max_steps=5000",
                                          "lr_scheduler=constant", "checkpoint.every=1 epoch",
                                          "trainer.early_stopping={metric: val.loss, patience: 3 epochs}"};
    const TrainResult first = train_text(kEverything, overrides);
    overrides.push_back("checkpoint.resume=" + (first.run / "checkpoints/last").string());
    const TrainResult second = train_text(kEverything, overrides);
    CHECK(read_training_state(Checkpoint(second.run)).stopping->step > first.step);
    overrides.insert(overrides.end(),
                     {"~data.val", "~trainer.early_stopping", format("trainer.max_steps={}", first.step + 9)});
    CHECK(!find_metric(train_text(kEverything, overrides).metrics, "val.loss"));
  }

  TEST_CASE("the time until the next checkpoint begins with the process") {
    const QuietLog quiet;
    const TemporaryFolder folder;
    const std::string dir = "run.dir=" + folder.path().string();
    const fs::path run = train_text(kEverything, {dir, "trainer.max_steps=11"}).run;
    {
      const Checkpoint saved(run / "checkpoints" / checkpoint_name(10));
      TrainingState state = read_training_state(saved);
      state.seconds = 1e6;
      CheckpointStore store(run / "checkpoints");
      store.save(10, {saved.model().tensors(), saved.trainer().tensors(), config::write(state), saved.config_text()});
      fs::remove_all(store.path_of(11));
    }
    train_text(kEverything, {dir, "checkpoint.resume=auto", "checkpoint.every=10m"});
    CHECK(!fs::exists(run / "checkpoints" / checkpoint_name(11)));
  }

  TEST_CASE("what the config no longer has is told, as what it has anew") {
    const QuietLog quiet;
    const TemporaryFolder folder;
    const std::string dir = "run.dir=" + folder.path().string();
    const fs::path run = train_text(kEverything, {dir, "trainer.max_steps=5", "lr_scheduler=constant"}).run;
    train_text(kEverything, {dir, "checkpoint.resume=auto", "lr_scheduler=constant", "~data.val"});
    CHECK(contains(files::read_text(run / "train.log"), "differs from the checkpoint's in: data.val; this one holds"));
  }
}

TEST_SUITE("damage") {
  // What a run leaves that was killed after step 18.
  fs::path first_part(const TemporaryFolder& folder) {
    const TrainResult result = train_text(kEverything, {"run.dir=" + folder.path().string(), "trainer.max_steps=20"});
    for (const int64_t step : {19, 20}) fs::remove_all(result.run / "checkpoints" / checkpoint_name(step));
    return result.run;
  }
  TrainResult continued(const TemporaryFolder& folder, std::vector<std::string> overrides = {}) {
    overrides.insert(overrides.end(), {"run.dir=" + folder.path().string(), "checkpoint.resume=auto"});
    return train_text(kEverything, overrides);
  }
  void damage(const fs::path& checkpoint) { std::ofstream(checkpoint / "model.safetensors") << "x"; }

  TEST_CASE("damaged checkpoints of later steps push out none of the continued run's") {
    const QuietLog quiet;
    const TemporaryFolder folder;
    const fs::path checkpoints = first_part(folder) / "checkpoints";
    for (const int64_t step : {7000, 8000, 9000}) {
      fs::copy(checkpoints / checkpoint_name(10), checkpoints / checkpoint_name(step));
      damage(checkpoints / checkpoint_name(step));
    }
    const TrainResult result = continued(folder, {"checkpoint.keep_last=2", "checkpoint.every=10 steps"});
    CHECK(result.step == 60);
    CHECK(read_training_state(Checkpoint(checkpoints / "last")).step == 60);
    CHECK(Checkpoint(checkpoints / "best").bytes() > 0);
    CHECK(checkpoint_steps(checkpoints).back() == 60);
    CHECK(fs::exists(checkpoints / ".bad-step-00009000/model.safetensors"));
  }

  TEST_CASE("a finished run whose links its last process did not get to has them when it is asked again") {
    const QuietLog quiet;
    const TemporaryFolder folder;
    const fs::path checkpoints = continued(folder).run / "checkpoints";
    const fs::path best = fs::read_symlink(checkpoints / "best");
    files::move_link(checkpoints / "last", checkpoint_name(59));
    fs::remove(checkpoints / "best");
    CHECK(continued(folder).nothing_to_do);
    CHECK(fs::read_symlink(checkpoints / "last") == checkpoint_name(60));
    CHECK((fs::is_symlink(checkpoints / "best") && fs::read_symlink(checkpoints / "best") == best));
  }

  TEST_CASE("a run of which no checkpoint can be read is not begun anew") {
    const QuietLog quiet;
    const TemporaryFolder folder;
    const fs::path run = first_part(folder);
    const auto metrics = metrics_of(run);
    for (const int64_t step : checkpoint_steps(run / "checkpoints"))
      damage(run / "checkpoints" / checkpoint_name(step));
    CHECK_THROWS_AS(continued(folder), CheckpointError);
    CHECK(metrics_of(run) == metrics);
  }
}

TEST_SUITE("a start that fails") {
  TEST_CASE("a split that leaves nothing to validate or to train on is told at its key") {
    const QuietLog quiet;
    const TemporaryFolder folder;
    const std::string path = folder.write("table.csv", "a,b,y\n1,2,3\n");
    for (const char* fraction : {"0.2", "0.9"}) {
      const std::string text = format(R"(
rstorch: 1
run: {{name: run, dir: {}/runs}}
data: {{type: csv, path: {}, batch_size: 4, target: y, task: regression, val_fraction: {}}}
model: {{layers: [{{Linear: {{out_features: 1}}}}]}}
loss: MSELoss
optimizer: {{type: SGD, lr: 0.01}}
trainer: {{max_epochs: 2}}
)",
                                      folder.path().string(), path, fraction);
      std::string message, position;
      try {
        train_text(text, {});
      } catch (const DataError& e) {
        message = e.what();
        position = e.position().text();
      }
      CHECK(contains(message, format("val_fraction {} of 1 samples leaves", fraction)));
      CHECK(position.starts_with("test.yaml:4:"));
    }
    CHECK(!fs::exists(folder.path() / "runs"));
  }

  TEST_CASE("a checkpoint that is damaged or does not fit leaves no run folder") {
    const QuietLog quiet;
    const TemporaryFolder folder;
    const std::string dir = "run.dir=" + folder.path().string();
    const fs::path last =
        train_text(kEverything, {dir, "trainer.max_steps=3", "lr_scheduler=constant"}).run / "checkpoints/last";
    const std::string resume = "checkpoint.resume=" + last.string();
    CHECK_THROWS_AS(train_text(kEverything, {dir, resume, "model.layers[0].Linear.out_features=5"}), CheckpointError);
    std::ofstream(last / "state.json") << "{}";
    CHECK_THROWS_AS(train_text(kEverything, {dir, resume}), CheckpointError);
    CHECK(!fs::exists(folder.path() / "run-2"));
  }

  TEST_CASE("a full disk leaves no half-made run folder") {
    const QuietLog quiet;
    const TemporaryFolder folder;
    int failed = 0;
    for (long at = 1; at < 60; ++at) {
      CAPTURE(at);
      const fs::path root = folder.path() / "runs";
      faults::arm(faults::Kind::no_space, at);
      try {
        train_text(kEverything, {"run.dir=" + root.string(), "trainer.max_steps=1", "lr_scheduler=constant"});
      } catch (const CheckpointError&) {
        ++failed;
      }
      faults::disarm();
      CHECK(fs::exists(root) == fs::exists(root / "run/config.resolved.yaml"));
      fs::remove_all(root);
    }
    CHECK(failed > 10);
  }
}

TEST_SUITE("training") {
  TEST_CASE("one logit and a column of 0 and 1, as a class or as a number: the same weights") {
    const QuietLog quiet;
    const TemporaryFolder folder;
    std::string table = "a,b,y\n";
    for (int i = 0; i < 40; ++i) table += format("{},{},{}\n", i % 7, i % 5, i % 7 > 3 ? 1 : 0);
    files::write_atomically(folder.path() / "t.csv", table);
    const std::string text = R"(
rstorch: 1
run: {name: run}
data: {type: csv, batch_size: 8, val_fraction: 0.25}
model: {layers: [{Linear: {out_features: 1}}]}
loss: BCEWithLogitsLoss
optimizer: {type: SGD, lr: 0.5}
trainer: {max_epochs: 30, micro_batch_size: 4}
)";
    const std::vector<std::string> both = {"data.path=" + (folder.path() / "t.csv").string(),
                                           "run.dir=" + folder.path().string()};
    std::vector<std::string> numbers = both;
    numbers.emplace_back("data.task=regression");
    const TrainResult by_class = train_text(text, both);
    const TrainResult by_number = train_text(text, numbers);
    CHECK(testing::difference(weights_of(by_class, "0.weight"), weights_of(by_number, "0.weight")) == 0);
    CHECK(*find_metric(by_class.metrics, "val.accuracy") == *find_metric(by_number.metrics, "val.accuracy"));
    CHECK(*find_metric(by_class.metrics, "val.accuracy") > 0.8);
    // Its predictions are classes.
    write_predictions(SavedModel(by_class.run, {}), folder.path() / "p.jsonl", PredictionFormat::jsonl);
    CHECK(contains(files::read_text(folder.path() / "p.jsonl"), "\"prediction\": \"1\""));
    // Numbers and as many outputs, with the mean of squares.
    numbers.emplace_back("loss=MSELoss");
    CHECK(train_text(text, numbers).outcome == Trainer::Outcome::finished);
  }

  TEST_CASE("what does not fit the data is known before there is a run folder; a drawn-out last batch too") {
    const QuietLog quiet;
    const TemporaryFolder folder;
    const auto errors = [&](std::vector<std::string> overrides) -> std::string {
      overrides.push_back("run.dir=" + (folder.path() / "runs").string());
      try {
        train_text(kEverything, overrides);
      } catch (const ConfigError& e) {
        CHECK(!fs::exists(folder.path() / "runs"));
        return e.report();
      }
      return {};
    };
    CHECK(contains(errors({"model.layers[4].Linear.out_features=2"}), "write out_features: 3"));
    CHECK(contains(errors({"loss=MSELoss"}), "MSELoss wants numbers"));
    CHECK(contains(errors({"data.train.size=65"}), "write drop_last: true"));
    CHECK(
        errors({"data.train.size=65", "data.drop_last=true", "trainer.max_steps=1", "lr_scheduler=constant"}).empty());
  }

  TEST_CASE("parts of a batch give the update of the whole batch") {
    const QuietLog quiet;
    const TemporaryFolder folder;
    const std::string text = R"(
rstorch: 1
run: {name: run}
data: {batch_size: 12, train: {type: random, shape: [6], classes: 3, size: 40}}
model:
  input: {shape: [6]}
  layers: [{Linear: {out_features: 8}}, LayerNorm, ReLU, {Dropout: {p: 0.4}}, {Linear: {out_features: 3}}]
loss: {CrossEntropyLoss: {label_smoothing: 0.1}}
optimizer: {type: SGD, lr: 0.1}
trainer: {max_steps: 30}
)";
    const std::string dir = "run.dir=" + folder.path().string();
    const TrainResult whole = train_text(text, {dir});
    for (const int part : {1, 4, 5, 12, 100}) {
      CAPTURE(part);
      const TrainResult parts = train_text(text, {dir, format("trainer.micro_batch_size={}", part)});
      CHECK(testing::difference(weights_of(parts, "4.weight"), weights_of(whole, "4.weight")) < 2e-6);
      CHECK(std::abs(loss_at_end(parts) - loss_at_end(whole)) < 1e-6);
    }
  }

  TEST_CASE("train.loss is the mean over the samples since the line before") {
    const QuietLog quiet;
    const TemporaryFolder folder;
    const std::string dir = "run.dir=" + folder.path().string();
    const std::vector<std::string> each = {dir, "trainer.max_steps=9", "trainer.log_every=1"};
    const TrainResult lines = train_text(kEverything, each);
    double sum = 0, samples = 0;
    for (const std::string& line : metrics_of(lines.run)) {
      config::Report none;
      const config::Value value = config::parse(line, "line", none);
      if (!value.has("train.loss")) continue;
      const double size = value.at("step").as_int() == 9 ? 6 : 8;  // 70 samples in batches of 8
      sum += size * value.at("train.loss").as_double();
      samples += size;
    }
    const TrainResult one = train_text(kEverything, {dir, "trainer.max_steps=9", "trainer.log_every=9"});
    CHECK(samples == 70);
    CHECK(loss_at_end(one) == doctest::Approx(sum / samples).epsilon(1e-6));
  }

  TEST_CASE("train.loss is what validation would report: by samples, weights, elements, whatever the reduction") {
    const QuietLog quiet;
    const TemporaryFolder folder;
    const std::string text = R"(
rstorch: 1
run: {name: run}
data:
  batch_size: 8
  train: {type: random, shape: [6], classes: 3, size: 20}
  val: {type: random, shape: [6], classes: 3, size: 20}
model: {input: {shape: [6]}, layers: [{Linear: {out_features: 3}}]}
loss: CrossEntropyLoss
optimizer: {type: SGD, lr: 1e-30}
trainer: {max_epochs: 1, log_every: 1 epoch, val_every: 1 epoch}
)";
    const std::string dir = "run.dir=" + folder.path().string();
    const std::vector<std::string> numbers = {"data.train.classes=null", "data.train.target_shape=[3]",
                                              "data.val.classes=null", "data.val.target_shape=[3]"};
    const auto check = [&](const std::string& loss, std::vector<std::string> overrides) {
      for (const char* part : {"8", "3"}) {  // whole batches, and parts of them
        CAPTURE(loss);
        CAPTURE(part);
        std::vector<std::string> all = {dir, "loss=" + loss, format("trainer.micro_batch_size={}", part)};
        all.insert(all.end(), overrides.begin(), overrides.end());
        // At this rate the weights are the same in each step and in validation, and the data is the same too.
        const TrainResult result = train_text(text, all);
        CHECK(loss_at_end(result) == doctest::Approx(*find_metric(result.metrics, "val.loss")).epsilon(1e-6));
      }
    };
    check("{CrossEntropyLoss: {reduction: sum}}", {});
    check("{CrossEntropyLoss: {weight: [0.1, 1, 5]}}", {});
    check("{CrossEntropyLoss: {weight: [0.1, 1, 5], reduction: sum, label_smoothing: 0.1}}", {});
    check("{CrossEntropyLoss: {ignore_index: 1}}", {});
    check("{MSELoss: {reduction: sum}}", numbers);
    check("MSELoss", numbers);
  }

  TEST_CASE("moving averages of weights: of those of each step, and none the worse for them") {
    const QuietLog quiet;
    const TemporaryFolder folder;
    const auto run = [&](const std::string& name, const std::string& setting) {
      return train_text(kEverything, {"run.dir=" + (folder.path() / name).string(), setting}).run / "checkpoints";
    };
    const fs::path checkpoints = run("with", "trainer.ema={decay: 0.9}"), without = run("without", "~trainer.ema");
    CHECK(files::read_text(checkpoints / "last/model.safetensors") ==
          files::read_text(without / "last/model.safetensors"));
    Tensor expected;
    for (const int64_t step : checkpoint_steps(checkpoints)) {
      const Checkpoint checkpoint(checkpoints / checkpoint_name(step));
      const Tensor weight = checkpoint.model().tensor("4.weight").to(kFloat64);
      expected = expected.defined() ? 0.9 * expected + 0.1 * weight : weight;
      CHECK(testing::difference(checkpoint.trainer().tensor("ema/4.weight").to(kFloat64), expected) < 1e-6);
    }
    const SavedModel saved(checkpoints / "last", {});
    const nn::BuiltModel model = saved.build_model(saved.open_data()->spec(), kCPU);
    CHECK(testing::bit_equal(model.module->named_parameters()[4].tensor.detach(),
                             saved.checkpoint().trainer().tensor("ema/4.weight")));
    const SavedModel plain(checkpoints / "last", std::vector<std::string>{"~trainer.ema"});
    const nn::BuiltModel weights = plain.build_model(plain.open_data()->spec(), kCPU);
    CHECK(testing::bit_equal(weights.module->named_parameters()[4].tensor.detach(),
                             plain.checkpoint().model().tensor("4.weight")));
  }

  TEST_CASE("early stopping ends a run whose metric no longer gets better") {
    const QuietLog quiet;
    const TemporaryFolder folder;
    const std::vector<std::string> overrides = {"run.dir=" + folder.path().string(), "trainer.max_steps=5000",
                                                "checkpoint.every=1 epoch",
                                                "trainer.early_stopping={metric: val.loss, patience: 3 epochs}"};
    const TrainResult result = train_text(kEverything, overrides);
    const TrainingState state = read_training_state(Checkpoint(result.run));
    CHECK(state.finished);
    CHECK(result.step < 5000);
    CHECK(result.step == state.stopping->step + 3 * 9);
  }

  TEST_CASE("an expectation that does not hold is an error after a complete run") {
    const QuietLog quiet;
    const TemporaryFolder folder;
    const std::string dir = "run.dir=" + folder.path().string();
    std::string message;
    try {
      train_text(kEverything, {dir, "expect.val.accuracy=> 1", "expect.train.loss=< 100"});
    } catch (const ExpectationError& e) {
      message = e.what();
      CHECK(e.exit_code() == ExitCode::expectation);
    }
    CHECK(contains(message, "val.accuracy is "));
    CHECK(contains(message, (folder.path() / "run").string()));
    CHECK(message.find("train.loss") == std::string::npos);
    CHECK(read_training_state(Checkpoint(folder.path() / "run")).finished);
    // And so it is each time that somebody asks the finished run.
    CHECK_THROWS_AS(train_text(kEverything, {dir, "checkpoint.resume=auto", "expect.val.accuracy=> 1"}),
                    ExpectationError);
    CHECK(train_text(kEverything, {dir, "checkpoint.resume=auto", "expect.train.loss=< 100"}).nothing_to_do);
  }

  TEST_CASE("no step asks the system for memory") {
    const QuietLog quiet;
    const Experiment experiment = experiment_of(kEverything);
    const BenchResult result = run_bench(experiment, {50}, *dist::single());
    CHECK(result.steps == 50);
    CHECK(result.system_allocations_per_step == 0);
    CHECK(result.layers.size() == 5);
    CHECK(result.p10_ms <= result.median_ms);
    CHECK(result.median_ms <= result.p90_ms);
  }
}

TEST_SUITE("nonfinite") {
  // The target of one row of 40 overflows the loss.
  constexpr const char* kBadTarget = "2,2,1e30";
  std::string table(const TemporaryFolder& folder, const std::string& bad_row) {
    std::string rows = "a,b,y\n";
    for (int i = 0; i < 40; ++i) rows += i == 17 ? bad_row + "\n" : format("{},{},1.5\n", i % 5, i % 3);
    return folder.write("table.csv", rows);
  }
  std::string config(const TemporaryFolder& folder, const std::string& bad_row = kBadTarget) {
    return format(R"(
rstorch: 1
run: {{name: run, dir: {}}}
data: {{type: csv, path: {}, standardize: false, batch_size: 4, target: y, task: regression}}
model: {{layers: [{{Linear: {{out_features: 4}}}}, Tanh, {{Linear: {{out_features: 1}}}}]}}
loss: MSELoss
optimizer: {{type: SGD, lr: 0.01}}
trainer: {{max_epochs: 2, log_every: 4 steps}}
checkpoint: {{every: 3 steps}}
)",
                  folder.path().string(), table(folder, bad_row));
  }

  TEST_CASE("stop") {
    const QuietLog quiet;
    const TemporaryFolder folder;
    CHECK_THROWS_AS(train_text(config(folder), {}), NonFiniteError);
    for (const int64_t step : checkpoint_steps(folder.path() / "run/checkpoints")) {
      for (const NamedTensor& item :
           Checkpoint(folder.path() / "run/checkpoints" / checkpoint_name(step)).model().tensors()) {
        for (const double x : item.tensor.to_vector<double>()) CHECK(std::isfinite(x));
      }
    }
  }

  TEST_CASE("skip leaves the updates out and goes on") {
    const QuietLog quiet;
    const TemporaryFolder folder;
    const TrainResult result = train_text(config(folder), {"trainer.on_nonfinite=skip"});
    CHECK(result.step == 20);
    CHECK(std::isfinite(loss_at_end(result)));
  }

  TEST_CASE("a batch that counts nothing is left out, whole or in parts, and the run goes on") {
    const QuietLog quiet;
    for (const char* parts : {"trainer.micro_batch_size=2", "trainer.micro_batch_size=1"}) {
      CAPTURE(std::string(parts));
      const TemporaryFolder folder;
      // Some pairs are of the class that is ignored.
      const TrainResult result =
          train_text(kEverything, {"run.dir=" + folder.path().string(), "data.batch_size=2", parts,
                                   "trainer.max_steps=60", "model.layers=[{Linear: {out_features: 3}}]",
                                   "loss={CrossEntropyLoss: {ignore_index: 0}}", "trainer.on_nonfinite=skip"});
      CHECK(result.step == 60);
      CHECK(std::isfinite(loss_at_end(result)));
      for (const double x : weights_of(result, "0.weight").to_vector<double>()) CHECK(std::isfinite(x));
    }
  }

  TEST_CASE("an update that is left out leaves no trace in running statistics") {
    const QuietLog quiet;
    const std::string norm =
        "model.layers=[{Linear: {out_features: 4}}, BatchNorm1d, ReLU, {Linear: {out_features: 1}}]";
    // The second overflows nothing but the running variance.
    for (const char* row : {"1e30,2,1e30", "1e30,2,1.5"}) {
      CAPTURE(std::string(row));
      const TemporaryFolder folder;
      const auto train_as = [&](const char* what) {
        return train_text(config(folder, row),
                          {norm, format("trainer.on_nonfinite={}", what), format("run.name={}", what)});
      };
      const TrainResult skip = train_as("skip"), back = train_as("rollback");
      CHECK(weights_of(skip, "1.num_batches_tracked").item<int64_t>() == 18);
      for (const NamedTensor& item : Checkpoint(skip.run).model().tensors()) {
        CAPTURE(item.name);
        for (const double x : item.tensor.to_vector<double>()) CHECK(std::isfinite(x));
        CHECK(testing::bit_equal(item.tensor, weights_of(back, item.name)));
      }
      CHECK_THROWS_AS(train_as("stop"), NonFiniteError);
    }
  }

  // What a diverged run says, with its hint.
  std::string given_up(const TemporaryFolder& folder, std::vector<std::string> overrides) {
    overrides.insert(overrides.end(),
                     {"run.dir=" + folder.path().string(), "optimizer.lr=1e30", "~trainer.clip_grad_norm",
                      "lr_scheduler=constant", "checkpoint.every=10 steps"});
    try {
      train_text(kEverything, overrides);
    } catch (const NonFiniteError& e) {
      return format("{}; {}", e.what(), e.hint());
    }
    return "";
  }

  TEST_CASE("a run that never recovers is an error, after a bounded number of tries") {
    const QuietLog quiet;
    for (const char* what : {"skip", "rollback"}) {
      CAPTURE(what);
      const TemporaryFolder folder;
      const std::string mode = format("trainer.on_nonfinite={}", what);
      CHECK(contains(given_up(folder, {mode, "trainer.max_steps=500"}), "the last 20 updates were left out"));
      CHECK(contains(given_up(folder, {mode, "trainer.max_steps=6"}), "the last 5 updates were left out"));
    }
  }

  TEST_CASE("no checkpoint is promised where there is none") {
    const QuietLog quiet;
    const TemporaryFolder folder;
    const std::string message = given_up(folder, {"trainer.log_every=2 steps"});
    CHECK(contains(message, "not finite (steps 1 to 2)"));
    CHECK(message.find("is from before") == std::string::npos);
  }

  TEST_CASE("nan has no sign") {
    CHECK(metrics_text({{"a", -NAN}, {"b", NAN}, {"c", -1}}) == "a nan  b nan  c -1.0000");
  }

  TEST_CASE("rollback ends with the weights that skip gives") {
    const QuietLog quiet;
    const TemporaryFolder folder;
    for (const int ranks : {1, 2}) {
      CAPTURE(ranks);
      const auto train_as = [&](const char* what, int zero) {
        return train_with_ranks(
            ranks, config(folder),
            {format("trainer.on_nonfinite={}", what), format("run.name={}-{}-{}", what, ranks, zero),
             "optimizer.momentum=0.9", format("distributed.zero={}", zero)});
      };
      const TrainResult skip = train_as("skip", 0), back = train_as("rollback", 0);
      const TrainResult back_with_shares = train_as("rollback", 1);
      CHECK(testing::bit_equal(weights_of(back_with_shares, "2.weight"), weights_of(back, "2.weight")));
      CHECK(metrics_of(back_with_shares.run) == metrics_of(back.run));
      CHECK(back.step == 20);
      CHECK(testing::bit_equal(weights_of(back, "2.weight"), weights_of(skip, "2.weight")));
      CHECK(metrics_of(back.run) == metrics_of(skip.run));
    }
  }
}

TEST_SUITE("saved models") {
  TEST_CASE("evaluation of a checkpoint gives the bits that training measured") {
    const QuietLog quiet;
    const TemporaryFolder folder;
    const TrainResult result = train_text(kEverything, {"run.dir=" + folder.path().string()});
    for (const int64_t step : {9, 27, 60}) {
      const fs::path path = result.run / "checkpoints" / checkpoint_name(step);
      const TrainingState state = read_training_state(Checkpoint(path));
      const Metrics metrics = evaluate(SavedModel(path, {}), *dist::single());
      CHECK(*find_metric(metrics, "loss") == state.metrics.at("val.loss"));
      CHECK(*find_metric(metrics, "accuracy") == state.metrics.at("val.accuracy"));
    }
  }

  TEST_CASE("predictions agree with the metrics, in both formats") {
    const QuietLog quiet;
    const TemporaryFolder folder;
    const TrainResult result = train_text(kEverything, {"run.dir=" + folder.path().string()});
    const SavedModel saved(result.run, {});
    CHECK(write_predictions(saved, folder.path() / "out.jsonl", PredictionFormat::jsonl) == 20);
    CHECK(write_predictions(saved, folder.path() / "out.csv", PredictionFormat::csv) == 20);
    std::istringstream lines(files::read_text(folder.path() / "out.jsonl"));
    std::istringstream table(files::read_text(folder.path() / "out.csv"));
    std::string row;
    std::getline(table, row);
    CHECK(row == "index,prediction,target,output_0,output_1,output_2");
    int right = 0, count = 0;
    for (std::string line; std::getline(lines, line); ++count) {
      config::Report none;
      const config::Value value = config::parse(line, "line", none);
      CHECK(value.at("index").as_int() == count);
      CHECK(value.at("logits").size() == 3);
      right += value.at("prediction") == value.at("target");
      std::getline(table, row);
      CHECK(row.starts_with(format("{},{},{},", count, value.at("prediction").as_int(), value.at("target").as_int())));
    }
    CHECK(count == 20);
    CHECK(right / 20.0 == doctest::Approx(*find_metric(result.metrics, "val.accuracy")));
  }

  TEST_CASE("other data takes the place of the validation data") {
    config::Report report;
    config::Value root = config::load_text(
        "data: {type: csv, path: a.csv, target: y, batch_size: 4, val_fraction: 0.2}", "test", {}, report);
    config::Value by_path = root;
    use_data(by_path, "b.csv", report);
    CHECK(config::to_json(by_path.at("data").at("val")) == R"({"type": "csv", "path": "b.csv", "target": "y"})");
    CHECK(!by_path.at("data").has("val_fraction"));
    use_data(root, "{path: c.csv, target: null}", report);
    CHECK(config::to_json(root.at("data").at("val")) == R"({"type": "csv", "path": "c.csv", "target": null})");
    CHECK(report.ok());
  }
}

TEST_SUITE("experiments") {
  TEST_CASE("plan: parameters, work and bytes by hand") {
    const Plan plan = make_plan(experiment_of(R"(
rstorch: 1
data: {batch_size: 64, train: {type: random, shape: [784], classes: 10}}
model: {input: {shape: [784]}, layers: [{Linear: {out_features: 512}}, ReLU, {Linear: {out_features: 10}}]}
loss: CrossEntropyLoss
optimizer: {type: SGD, lr: 0.1, momentum: 0.9}
trainer: {max_epochs: 1}
)"));
    CHECK(plan.parameters == 784 * 512 + 512 + 512 * 10 + 10);
    CHECK(plan.flops == 2 * (784 * 512 + 512 * 10));
    CHECK(step_flops(plan) == 64 * 3 * plan.flops);
    CHECK(plan.model_bytes - 4 * plan.parameters < 1000);  // the header
    CHECK(plan.trainer_bytes - 4 * plan.parameters < 1000);
    CHECK(contains(plan_text(plan), "407,050"));
  }

  TEST_CASE("what is planned is refused by name, what is wrong is pointed at") {
    const std::string later = errors_of(kEverything, {"plugins=[a.so]", "logging.tensorboard=true"});
    CHECK(contains(later, "`plugins` is not in this version"));
    CHECK(contains(later, "`tensorboard` is not in this version"));
    CHECK(contains(errors_of(kEverything, {"expect.val.acuracy=> 1"}), "did you mean `val.accuracy`?"));
    CHECK(contains(errors_of(kEverything, {"expect.val.loss=0.5"}), "error[E0303]"));
    for (const char* bound : {">= nan", "< inf", "> -infinity"}) {
      CHECK(contains(errors_of(kEverything, {format("expect.val.loss={}", bound)}), "is no expectation"));
    }
    for (const char* lr : {".inf", "-.inf", ".nan"}) {
      CHECK(contains(errors_of(kEverything, {format("optimizer.lr={}", lr)}), "`optimizer.lr` must be a"));
    }
    CHECK(contains(errors_of(kEverything, {"checkpoint.keep_best={metric: val.acc}"}), "there is no metric `val.acc`"));
    CHECK(contains(errors_of(kEverything, {"~trainer.max_steps"}), "the run has no end"));
    CHECK(contains(errors_of(kEverything, {"trainer.val_every=2h"}), "val_every"));
    for (const char* name : {"' '", ".", "..", "a/b", "/tmp/a", "\"a\\nb\""}) {
      CHECK(contains(errors_of(kEverything, {format("run.name={}", name)}), "`run.name` is no name for a folder"));
    }
  }

  TEST_CASE("the resolved config means the same, and has every key") {
    const Experiment first = experiment_of(kEverything);
    const std::string text = config::dump_yaml(first.resolved);
    CHECK(config::dump_yaml(experiment_of(text).resolved) == text);
    CHECK(first.resolved.at("optimizer").only()->at("momentum").as_double() == 0.9);
    CHECK(first.resolved.at("checkpoint").at("resume").as_string() == "never");
    CHECK(first.resolved.at("metrics")[0].only()->key() == "accuracy");
  }

  TEST_CASE("expectations") {
    config::Report report;
    const config::Value section =
        config::load_text("{a: \">= 0.5\", b: \"<1e-3\", c: \"== 2\", d: \"> -1\", e: \"<=0\"}", "test", {}, report);
    const auto all = read_expectations(section, {"a", "b", "c", "d", "e"}, report);
    REQUIRE(report.ok());
    REQUIRE(all.size() == 5);
    CHECK((all[0].holds(0.5) && !all[0].holds(0.49) && !all[0].holds(NAN)));
    CHECK((all[1].holds(0) && !all[1].holds(1e-3)));
    CHECK((all[2].holds(2) && !all[2].holds(2.1)));
    CHECK((all[3].holds(0) && !all[3].holds(-1)));
    CHECK((all[4].holds(0) && !all[4].holds(0.1)));
  }

  TEST_CASE("a signal that comes before training is there when it begins, and gone after it") {
    StopSignals::expect_usr1();
    ::raise(SIGUSR1);
    {
      const StopSignals signals;
      CHECK(signals.requested());
      CHECK(signals.name() == "SIGUSR1");
    }
    CHECK(!StopSignals().requested());
    std::signal(SIGUSR1, SIG_DFL);
  }

  TEST_CASE("how often") {
    CHECK(config::in_steps(Duration::epochs(0.5), 9) == 5);
    CHECK(config::in_steps(Duration::epochs(0.001), 9) == 1);
    CHECK(config::in_steps(Duration::steps(50), 9) == 50);
    Cadence by_time(Duration::seconds(10), 9, 3);
    CHECK(!by_time.due(1, 12.9));
    CHECK(by_time.due(2, 13));
    CHECK(!by_time.due(3, 22));
    CHECK(by_time.due(4, 23.5));
  }
}
