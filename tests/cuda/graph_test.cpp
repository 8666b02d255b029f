// Captured steps against the same steps queued one by one: the bits, the launches, the memory; and steps that cannot be
// captured.
#include "ops/ops.h"
#include "tensor/runtime.h"
#include "train/evaluator.h"
#include "train/step_graph.h"
#include "unit/temporary_folder.h"
#include "unit/training.h"

using namespace rstorch;

namespace {

constexpr const char* kCuda = "cuda";

// Dropout, a short last batch, momentum, clipping, a schedule.
constexpr const char* kMlp = R"(
rstorch: 1
seed: 3
data: {batch_size: 8, train: {type: random, shape: [6], classes: 3, size: 70}}
model:
  input: {shape: [6]}
  layers: [{Linear: {out_features: 12}}, ReLU, {Dropout: {p: 0.3}}, {Linear: {out_features: 3}}]
loss: CrossEntropyLoss
optimizer: {type: SGD, lr: 0.1, momentum: 0.9, weight_decay: 1e-3}
lr_scheduler: {type: cosine, warmup: 5 steps}
trainer: {max_steps: 24, clip_grad_norm: 0.5, ema: {decay: 0.9}}
)";

constexpr const char* kCnn = R"(
rstorch: 1
seed: 4
data: {batch_size: 4, train: {type: random, shape: [2, 6, 6], classes: 3, size: 30}}
model:
  input: {shape: [2, 6, 6]}
  layers:
    - {Conv2d: {out_channels: 4, kernel_size: 3, padding: 1}}
    - BatchNorm2d
    - ReLU
    - {MaxPool2d: {kernel_size: 2}}
    - {Dropout: {p: 0.2}}
    - {Conv2d: {out_channels: 5, kernel_size: 2, bias: false}}
    - Flatten
    - {Linear: {out_features: 3}}
loss: {CrossEntropyLoss: {label_smoothing: 0.1, weight: [1, 2, 0.5]}}
optimizer: {type: AdamW, lr: 1e-2, amsgrad: true}
trainer: {max_steps: 24}
)";

// A learner and its batches, on CUDA.
class Training {
 public:
  explicit Training(const std::string& text, const std::vector<std::string>& overrides = {})
      : experiment_(experiment_of(text, overrides)),
        data_(experiment_.data.open(experiment_.seed())),
        loader_(*data_.train, experiment_.train_options()),
        batches_(loader_.stream(0)),
        learner_(make_learner(experiment_, *data_.train, run_length(experiment_, *data_.train), kCuda, *group_)) {}

  data::Batch next() { return *batches_.next(); }
  void step() { learner_.step(next()); }
  // The losses of so many steps.
  std::vector<double> losses(int steps) {
    std::vector<double> out;
    for (int i = 0; i < steps; ++i) {
      step();
      out.push_back(learner_.training_loss().value());
      learner_.training_loss().reset();
    }
    return out;
  }
  // All numbers that a checkpoint would have.
  std::vector<double> state() {
    std::vector<double> out;
    for (const auto& tensors : {learner_.model_state(), learner_.optimizer_state()}) {
      for (const NamedTensor& named : tensors) {
        const std::vector<double> values = named.tensor.to_vector<double>();
        out.insert(out.end(), values.begin(), values.end());
      }
    }
    return out;
  }
  double evaluate() {
    Evaluator evaluator(learner_.model(), learner_.arithmetic(), learner_.loss(), experiment_.metrics, kCuda, *group_);
    return (*evaluator.evaluate(loader_))[0].second;
  }
  Learner& learner() { return learner_; }

 private:
  dist::GroupPtr group_ = dist::single();
  Experiment experiment_;
  data::OpenedData data_;
  data::DataLoader loader_;
  data::BatchStream batches_;
  Learner learner_;
};

void check_same_bits(const std::string& text, std::vector<std::string> overrides = {}) {
  overrides.emplace_back("trainer.graph=on");
  Training captured(text, overrides);
  overrides.back() = "trainer.graph=off";
  Training eager(text, overrides);
  CHECK(captured.losses(20) == eager.losses(20));
  CHECK(captured.learner().replays());
  CHECK_FALSE(eager.learner().replays());
  CHECK(captured.state() == eager.state());
}

// The names of launches, in order.
class Launches final : public StreamObserver {
 public:
  Launches() { current_stream(kCuda).set_observer(this); }
  ~Launches() override { current_stream(kCuda).set_observer(nullptr); }
  void before_launch(std::string_view kernel) override { names.emplace_back(kernel); }
  void after_launch(std::string_view) override {}
  std::vector<std::string> names;
};

std::vector<std::string> launches_of_step(Training& training) {
  const data::Batch batch = training.next();
  Launches launches;
  training.learner().step(batch);
  return launches.names;
}

}  // namespace

TEST_CASE("captured steps give the bits of steps queued one by one") {
  check_same_bits(kMlp);
  check_same_bits(kMlp, {"optimizer={type: Adam, lr: 1e-2}", "~trainer.clip_grad_norm"});
  check_same_bits(kMlp, {"data.drop_last=true", "optimizer={type: SGD, lr: 0.1, nesterov: true, momentum: 0.5}"});
  check_same_bits(kMlp, {"loss={CrossEntropyLoss: {reduction: sum}}"});
  check_same_bits(kMlp, {"trainer.micro_batch_size=3"});
  check_same_bits(kMlp, {"trainer.micro_batch_size=8"});
  check_same_bits(kCnn);
  check_same_bits(kCnn, {"trainer.micro_batch_size=2", "trainer.clip_grad_norm=0.1"});
}

TEST_CASE("a captured step has the launches of the step itself; a replay has one, and takes no memory") {
  Training training(kCnn, {"trainer.graph=on"}), eager(kCnn, {"trainer.graph=off"});
  training.step();
  eager.step();  // the first also makes the optimizer's state
  const std::vector<std::string> warm_up = launches_of_step(training);
  const std::vector<std::string> captured = launches_of_step(training);
  CHECK(training.learner().replays());
  const std::vector<std::string> copies = {"copy", "copy"};  // of the batch, to where the graph has it
  std::vector<std::string> wanted = launches_of_step(eager);
  CHECK(wanted.size() > 30);
  wanted.insert(wanted.begin(), copies.begin(), copies.end());
  CHECK(warm_up == wanted);
  CHECK(captured == wanted);
  CHECK(launches_of_step(training) == copies);
  const auto stats = [] { return current_stream(kCuda).allocator().stats(); };
  const size_t before = stats().allocations;
  for (int i = 0; i < 3; ++i) training.step();
  CHECK(stats().allocations == before);
}

TEST_CASE("what happens between replays changes none of them") {
  const auto run = [](const char* graph) {
    Training training(kCnn, {format("trainer.graph={}", graph)});
    std::vector<double> out = training.losses(6);
    out.push_back(training.evaluate());
    // Others take what the stream had for products before it grew.
    static_cast<CudaStream&>(current_stream(kCuda)).workspace(size_t(80) << 20);
    std::vector<Tensor> others;
    for (int i = 0; i < 3; ++i) {
      others.push_back(Tensor::empty({int64_t(32) << 20}, {DType::u8, kCuda}).slice(0, 0, 1000).fill_(1));
    }
    for (const double loss : training.losses(6)) out.push_back(loss);
    for (const Tensor& other : others) CHECK(other.sum().item() == 1000);
    others.clear();
    // What a rollback does.
    std::vector<NamedTensor> model, optimizer;
    for (const NamedTensor& x : training.learner().model_state()) model.push_back({x.name, x.tensor.clone()});
    for (const NamedTensor& x : training.learner().optimizer_state()) optimizer.push_back({x.name, x.tensor.clone()});
    for (const double loss : training.losses(3)) out.push_back(loss);
    training.learner().load(model, optimizer, 12);
    for (const double loss : training.losses(6)) out.push_back(loss);
    CHECK(training.learner().replays() == (std::string_view(graph) == "on"));
    training.learner().step(training.next(), Learner::Guard::on);
    for (const double loss : training.losses(2)) out.push_back(loss);
    const std::vector<double> state = training.state();
    out.insert(out.end(), state.begin(), state.end());
    return out;
  };
  const std::vector<double> captured = run("on");  // first: scratch memory grows once in a process
  CHECK(captured == run("off"));
}

TEST_CASE("a step that reads a value on the host is refused by name, or runs without a graph") {
  const QuietLog quiet;
  const std::vector<std::string> overrides = {
      "model.layers=[{Linear: {out_features: 4}}, {norm: {BatchNorm1d: {momentum: null}}}, {Linear: {out_features: "
      "3}}]"};
  auto on = overrides, off = overrides;
  on.emplace_back("trainer.graph=on");
  off.emplace_back("trainer.graph=off");
  Training refused(kMlp, on);
  CHECK_THROWS_WITH_AS(refused.step(),
                       "trainer.graph is on, but the step cannot be recorded: item: copies between the host and cuda:0 "
                       "inside a step that the host takes no part in",
                       ConfigError);
  Training eager(kMlp, off), automatic(kMlp, overrides);
  CHECK(automatic.losses(8) == eager.losses(8));
  CHECK_FALSE(automatic.learner().replays());
}

TEST_CASE("a graph that is asked for and cannot be is said in one line; one that need not be is not") {
  const QuietLog quiet;
  const TemporaryFolder folder;
  const auto log_of = [&](const std::vector<std::string>& overrides) {
    const fs::path log = folder.path() / "log";
    fs::remove(log);
    logging::set_file(log.string());
    Training training(kMlp, overrides);
    training.losses(5);
    CHECK_FALSE(training.learner().replays());
    logging::flush();
    return files::read_text(log);
  };
  CHECK(contains(log_of({"trainer.on_nonfinite=skip", "trainer.graph=on"}),
                 "trainer.graph: steps run without a CUDA graph: on_nonfinite: skip waits for each"));
  CHECK(log_of({"trainer.on_nonfinite=skip"}).empty());
  CHECK(log_of({"trainer.graph=off"}).empty());
}

TEST_CASE("ranks that share a GPU train without a graph, as one rank does with it") {
  const QuietLog quiet;
  const TemporaryFolder folder;
  std::vector<std::string> overrides = {"device=cuda", "trainer.graph=on", "run.dir=" + folder.path().string()};
  const TrainResult one = train_text(kMlp, overrides);
  const fs::path log = folder.path() / "log";
  logging::set_file(log.string());
  const TrainResult two = train_with_ranks(2, kMlp, overrides);
  CHECK(two.step == 24);
  CHECK(loss_at_end(two) == doctest::Approx(loss_at_end(one)).epsilon(1e-5));
  CHECK(contains(files::read_text(log), "steps run without a CUDA graph: there are several ranks"));
}

TEST_CASE("whatever makes the host wait inside a watched step is refused, and nothing else") {
  const Tensor x = Tensor::ones({4}, {.device = kCuda}), on_host = Tensor::ones({4});
  Stream& stream = current_stream(kCuda);
  {
    const NoHostSync watched(stream);
    CHECK_THROWS_WITH_AS(x.select(0, 1).item(), doctest::Contains("item: copies between the host and cuda:0"),
                         DeviceError);
    CHECK_THROWS_WITH_AS(x.to_vector<float>(), doctest::Contains("to_vector: "), DeviceError);
    CHECK_THROWS_WITH_AS(x.to("cpu"), doctest::Contains("to: "), DeviceError);
    CHECK_THROWS_WITH_AS(on_host.to(kCuda), doctest::Contains("to: "), DeviceError);
    CHECK_THROWS_WITH_AS(Tensor::from(std::vector<float>{1}, {1}, {.device = kCuda}), doctest::Contains("from: "),
                         DeviceError);
    CHECK_THROWS_WITH_AS(stream.synchronize(), doctest::Contains("waits for cuda:0"), DeviceError);
    CHECK(on_host.sum().item() == 4);
    const Tensor y = (x + x).clone();
    const NoHostSync noting(stream, NoHostSync::Action::note);
    CHECK(y.sum().item() == 8);
    CHECK(noting.noted().starts_with("item: copies"));
  }
  CHECK(x.sum().item() == 4);
}

TEST_CASE("a capture that fails leaves the step to be done without it, with the reason in the log") {
  const QuietLog quiet;
  const TemporaryFolder folder;
  data::Batch batch;
  batch.x = Tensor::ones({4, 2}, {.device = kCuda});
  batch.y = Tensor::ones({4}, {.device = kCuda});
  batch.parts = {{0, 4}};
  const auto log_of = [&](const StepGraph::Queue& queue, int steps) {
    const fs::path log = folder.path() / "log";
    fs::remove(log);
    logging::set_file(log.string());
    StepGraph graph(kCuda, GraphMode::automatic);
    for (int step = 0; step < steps; ++step) graph.run(batch, uint64_t(step), queue);
    CHECK_FALSE(graph.is_captured());
    logging::flush();
    return files::read_text(log);
  };

  const Tensor total = Tensor::zeros({}, {.device = kCuda});
  int calls = 0;
  const std::string more_memory = log_of(
      [&](const data::Batch& inputs, const StepPlace*) {
        const Tensor scratch = Tensor::zeros({++calls == 3 ? 1 << 20 : 1}, {.device = kCuda});
        Tensor(total).add_(inputs.x.sum() + scratch.sum());
      },
      5);
  CHECK(total.item() == 5 * 8);
  CHECK(calls == 6);
  CHECK(contains(more_memory, "steps run without a CUDA graph: "));

  calls = 0;
  const std::string thrown = log_of(
      [&](const data::Batch& inputs, const StepPlace*) {
        Tensor(total).add_(inputs.x.sum());
        if (++calls == 3) throw DeviceError("a kernel that cannot be recorded");
      },
      5);
  CHECK(total.item() == 2 * 5 * 8);
  CHECK(contains(thrown, "steps run without a CUDA graph: a kernel that cannot be recorded"));
}

TEST_CASE("memory that is not there: what wanted it, how much, and what to try") {
  try {
    const Tensor x = Tensor::ones({1 << 20, 1}, {.device = kCuda});
    matmul(x, x.t());
    FAIL("nothing was thrown");
  } catch (const OutOfMemoryError& error) {
    CHECK(contains(error.what(), "cannot allocate 4096.00 GiB on cuda:0 ("));
    CHECK(contains(error.what(), "GiB free of "));
    CHECK(contains(error.what(), " are in use, at most "));
    CHECK(contains(error.what(), "; for f32 [1048576, 1048576], after the operation matmul began"));
  }
  if (!cuda::describe(0).starts_with("Fake")) return;  // it has 1 GiB
  Training training(kMlp, {"data.batch_size=64", "trainer.micro_batch_size=40", "optimizer={type: SGD, lr: 0.1}",
                           "model.layers=[{Linear: {out_features: 500000}}, {Linear: {out_features: 3}}]"});
  std::vector<Tensor> others;
  const auto take_all = [&] {
    while (true) others.push_back(Tensor::empty({int64_t(64) << 20}, {DType::u8, kCuda}));
  };
  CHECK_THROWS_AS(take_all(), OutOfMemoryError);
  try {
    training.step();
    FAIL("nothing was thrown");
  } catch (const OutOfMemoryError& error) {
    CHECK(contains(error.what(), "; for f32 [40, 500000], after the operation linear began"));
    CHECK(contains(error.what(), "; in a training step of 40 samples at a time"));
    // Less than 64 MiB are there, 2 MB to a sample.
    const std::string setting = "set trainer.micro_batch_size: ";
    REQUIRE(error.hint().starts_with(setting));
    const int fitting = std::stoi(error.hint().substr(setting.size()));
    CHECK(fitting >= 1);
    CHECK(fitting <= 20);
    CHECK(fitting * 2e6 <= double(size_t(64) << 20));
  }
}
