// Batch normalisation over the batch of several ranks, here threads: what one process computes of the whole batch.
#include <barrier>
#include <exception>
#include <thread>

#include <doctest/doctest.h>

#include "autograd/grad_mode.h"
#include "fixture.h"
#include "nn/batch_norm.h"
#include "nn/linear.h"
#include "nn/placement.h"
#include "nn/sequential.h"
#include "ops/ops.h"

using namespace rstorch;
using namespace rstorch::testing;

namespace {

// Where the ranks meet.
struct Meeting {
  explicit Meeting(size_t ranks) : slots(ranks), calls(ranks), barrier(std::ptrdiff_t(ranks)) {}
  std::vector<Tensor> slots;
  std::vector<std::string> calls;  // of each rank, a letter each
  std::barrier<> barrier;
};

class ThreadPeers final : public BatchPeers {
 public:
  ThreadPeers(Meeting& meeting, size_t rank) : meeting_(meeting), rank_(rank) {}

  Tensor gather(const Tensor& mine) override {
    meeting_.calls[rank_] += 'g';
    meeting_.slots[rank_] = mine;
    meeting_.barrier.arrive_and_wait();
    const Tensor all = stack(meeting_.slots);
    meeting_.barrier.arrive_and_wait();
    return all;
  }
  void sum(const Tensor& x) override {
    meeting_.calls[rank_] += 's';
    meeting_.slots[rank_] = x.clone();
    meeting_.barrier.arrive_and_wait();
    Tensor total = meeting_.slots[0].clone();
    for (size_t i = 1; i < meeting_.slots.size(); ++i) total.add_(meeting_.slots[i]);
    meeting_.barrier.arrive_and_wait();
    Tensor(x).copy_(total);
  }

 private:
  Meeting& meeting_;
  size_t rank_;
};

// f(rank, its peers) on a thread for each rank; what each threw. Gives what the ranks called.
template <class F>
std::vector<std::exception_ptr> run_ranks(Meeting& meeting, const F& f) {
  std::vector<std::exception_ptr> errors(meeting.slots.size());
  std::vector<std::thread> threads;
  for (size_t rank = 0; rank < errors.size(); ++rank) {
    threads.emplace_back([&, rank] {
      try {
        f(rank, std::make_shared<ThreadPeers>(meeting, rank));
      } catch (...) {
        errors[rank] = std::current_exception();
        meeting.barrier.arrive_and_drop();  // so that nobody waits for it
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  return errors;
}

void rethrow(const std::vector<std::exception_ptr>& errors) {
  for (const std::exception_ptr& error : errors) {
    if (error) std::rethrow_exception(error);
  }
}

struct Case {
  std::string name;
  Shape shape;
  std::vector<int64_t> shares;  // of the batch, by rank
  nn::BatchNorm::Config config = {};
  bool channels_last = false;
};

std::unique_ptr<nn::BatchNorm> make_layer(const Case& tried, DType dtype) {
  const nn::PlacementScope placement({kCPU, dtype});
  nn::BatchNorm::Config config = tried.config;
  config.num_features = tried.shape[1];
  if (tried.shape.dims() == 4) return std::make_unique<nn::BatchNorm2d>(config);
  return std::make_unique<nn::BatchNorm1d>(config);
}

Tensor random(const Case& tried, DType dtype) {
  const Tensor x = Tensor::randn(tried.shape, {dtype}) + 0.5;
  return tried.channels_last ? x.permute({0, 2, 3, 1}).contiguous().permute({0, 3, 1, 2}) : x;
}

// A layer and what two training steps leave of it.
struct Pass {
  std::unique_ptr<nn::BatchNorm> layer;
  std::vector<Tensor> y, dx;

  void run(const std::vector<Tensor>& batches, const std::vector<Tensor>& cotangents) {
    for (size_t step = 0; step < batches.size(); ++step) {
      const Tensor x = batches[step].detach().set_requires_grad(true);
      y.push_back((*layer)(x));
      y.back().backward(cotangents[step]);
      y.back() = y.back().detach();
      dx.push_back(x.grad());
    }
  }
};

// The samples of each rank.
std::vector<Tensor> shared_out(const std::vector<Tensor>& batches, int64_t start, int64_t count) {
  std::vector<Tensor> out;
  for (const Tensor& batch : batches) out.push_back(batch.narrow(0, start, count));
  return out;
}

// Relative to the largest element.
double error(const Tensor& got, const Tensor& wanted) {
  REQUIRE_EQ(got.shape().text(), wanted.shape().text());
  const std::vector<double> a = got.to_vector<double>(), b = wanted.to_vector<double>();
  double largest = 1e-300, worst = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    largest = std::max(largest, std::abs(b[i]));
    worst = std::max(worst, a[i] == b[i] ? 0 : std::isfinite(a[i]) ? std::abs(a[i] - b[i]) : INFINITY);
  }
  return worst / largest;
}

Tensor added(const std::vector<Pass>& passes, const std::function<Tensor(const nn::BatchNorm&)>& of) {
  Tensor total = of(*passes[0].layer).to(kFloat64).clone();
  for (size_t rank = 1; rank < passes.size(); ++rank) total.add_(of(*passes[rank].layer).to(kFloat64));
  return total;
}

void check_equals_one_process(const Case& tried, DType dtype) {
  const double tolerance = dtype == kFloat64 ? 1e-13 : 1e-6;
  const std::vector<Tensor> x = {random(tried, dtype), random(tried, dtype) * 3},
                            dy = {random(tried, dtype), random(tried, dtype)};
  Pass whole{make_layer(tried, dtype), {}, {}};
  if (tried.config.affine) {
    const NoGrad no_grad;
    whole.layer->weight.copy_(Tensor::rand({tried.shape[1]}) + 0.5);
    whole.layer->bias.copy_(Tensor::randn({tried.shape[1]}));
  }
  const nn::StateDict initial = whole.layer->state_dict();
  Meeting meeting(tried.shares.size());
  std::vector<Pass> passes;
  for (size_t rank = 0; rank < tried.shares.size(); ++rank) {
    passes.push_back({make_layer(tried, dtype), {}, {}});
    passes.back().layer->load_state_dict(initial);
  }
  whole.run(x, dy);

  rethrow(run_ranks(meeting, [&](size_t rank, const std::shared_ptr<BatchPeers>& peers) {
    int64_t start = 0;
    for (size_t i = 0; i < rank; ++i) start += tried.shares[i];
    CHECK_EQ(nn::synchronize_batch_norm(*passes[rank].layer, peers), 1);
    passes[rank].run(shared_out(x, start, tried.shares[rank]), shared_out(dy, start, tried.shares[rank]));
  }));

  for (size_t step = 0; step < x.size(); ++step) {
    std::vector<Tensor> y, dx;
    for (const Pass& pass : passes) {
      y.push_back(pass.y[step]);
      dx.push_back(pass.dx[step]);
    }
    CHECK(error(cat(y), whole.y[step]) < tolerance);
    CHECK(error(cat(dx), whole.dx[step]) < tolerance);
  }
  if (tried.config.affine) {
    CHECK(error(added(passes, [](const auto& layer) { return layer.weight.grad(); }), whole.layer->weight.grad()) <
          tolerance);
    CHECK(error(added(passes, [](const auto& layer) { return layer.bias.grad(); }), whole.layer->bias.grad()) <
          tolerance);
  }
  for (size_t rank = 0; rank < passes.size(); ++rank) {
    CHECK_EQ(meeting.calls[rank], "gsgs");
    const nn::StateDict state = passes[rank].layer->state_dict(), first = passes[0].layer->state_dict();
    for (size_t i = 0; i < state.size(); ++i) {
      CAPTURE(state[i].name);
      CHECK(error(state[i].tensor, whole.layer->state_dict()[i].tensor) < tolerance);
      CHECK(bit_equal(state[i].tensor, first[i].tensor));
    }
  }
}

}  // namespace

TEST_CASE("ranks that share a batch compute what one process does") {
  const std::vector<Case> cases = {
      {"images", {8, 19, 3, 5}, {5, 3}},
      {"channels-last", {8, 19, 3, 5}, {5, 3}, {}, true},
      {"channels-last, a rank without samples", {6, 5, 4, 4}, {4, 0, 2}, {}, true},
      {"rows, a rank without samples", {6, 7}, {4, 0, 2}},
      {"rows, the first rank without samples", {5, 40}, {0, 3, 2}},
      {"rows, one sample each", {3, 4}, {1, 1, 1}},
      {"sequences", {7, 3, 9}, {3, 4}},
      {"planes in many tasks", {40, 3, 40, 41}, {23, 17}},
      {"plain mean of the statistics", {6, 4}, {4, 2}, {.momentum = std::nullopt}},
      {"no weight", {6, 4, 5}, {4, 0, 2}, {.affine = false}},
      {"no running statistics", {6, 4, 2, 2}, {2, 4}, {.track_running_stats = false}},
      {"one rank", {6, 4}, {6}},
  };
  for (const Case& tried : cases) {
    for (const DType dtype : {kFloat32, kFloat64}) {
      CAPTURE(tried.name);
      CAPTURE(name_of(dtype));
      check_equals_one_process(tried, dtype);
    }
  }
}

TEST_CASE("a variance of one value among all ranks is an error on each of them, of none there is none") {
  for (const bool empty : {false, true}) {
    Meeting meeting(2);
    std::vector<nn::BatchNorm1d> layers;
    for (int rank = 0; rank < 2; ++rank) layers.emplace_back(4);
    const std::vector<std::exception_ptr> errors =
        run_ranks(meeting, [&](size_t rank, const std::shared_ptr<BatchPeers>& peers) {
          layers[rank].synchronize(peers);
          layers[rank](Tensor::ones({rank == 1 && !empty ? 1 : 0, 4}));
        });
    if (empty) {
      rethrow(errors);
      CHECK_EQ(layers[1].running_var.to_vector<double>(), std::vector<double>(4, 1));
      continue;
    }
    for (const std::exception_ptr& error : errors) {
      REQUIRE(error);
      CHECK_THROWS_WITH_AS(std::rethrow_exception(error), doctest::Contains("one value per channel has no variance"),
                           ShapeError);
    }
  }
}

TEST_CASE("ranks keep in step whichever gradients each of them wants") {
  Meeting meeting(3);
  rethrow(run_ranks(meeting, [&](size_t rank, const std::shared_ptr<BatchPeers>& peers) {
    const auto leaf = [&](const Shape& shape, bool wanted) { return Tensor::ones(shape).set_requires_grad(wanted); };
    const Tensor x = leaf({int64_t(rank), 3}, rank != 1), weight = leaf({3}, rank != 2), bias = leaf({3}, rank != 0);
    sum(batch_norm(x, weight, bias, {}, {}, {.training = true, .peers = peers})).backward();
    CHECK_EQ(x.grad().defined(), rank != 1);
    CHECK_EQ(weight.grad().defined(), rank != 2);
    CHECK_EQ(bias.grad().defined(), rank != 0);
  }));
  CHECK(meeting.calls == std::vector<std::string>(3, "gs"));
}

TEST_CASE("evaluation, a plan and a layer without peers ask no other rank") {
  Meeting meeting(2);  // the other rank never comes
  const auto peers = std::make_shared<ThreadPeers>(meeting, 0);
  nn::Sequential model(nn::Linear(4, 3), nn::BatchNorm1d(3),
                       nn::Sequential(nn::BatchNorm1d({.num_features = 3, .track_running_stats = false})));
  CHECK_EQ(nn::synchronize_batch_norm(model, peers), 2);
  model.eval();
  model(Tensor::ones({2, 4}));
  model.train();
  model.to("meta");
  CHECK_NOTHROW(model(Tensor::ones({1, 4}).to("meta")));  // the others may have more
  CHECK_EQ(meeting.calls[0], "");

  nn::BatchNorm1d alone(3);
  alone.synchronize(peers);
  alone.synchronize(nullptr);
  alone(Tensor::ones({2, 3}));
  CHECK_THROWS_AS(alone(Tensor::ones({1, 3})), ShapeError);
  CHECK_EQ(meeting.calls[0], "");
}
