// What ranks tell each other, with threads as ranks; and the reducer of gradients.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>

#include <doctest/doctest.h>

#include "autograd/grad_mode.h"
#include "dist/connect.h"
#include "dist/reducer.h"
#include "dist/thread_group.h"
#include "failures.h"
#include "nn/linear.h"
#include "nn/sequential.h"
#include "ops/ops.h"
#include "optim/parameter_arena.h"

using namespace rstorch;
using dist::ProcessGroup;
using dist::ReduceOp;

namespace {

struct PartlyUsed : nn::Module {
  nn::Sequential& used = register_module("used", nn::Sequential(nn::Linear(4, 8), nn::Linear(8, 8), nn::Linear(8, 2)));
  nn::Linear& unused = register_module("unused", nn::Linear(3, 3));
  Tensor forward(const Tensor& x) override { return used(x); }
};

}  // namespace

TEST_CASE("all_reduce, broadcast, all_gather and text, on 1 to 5 ranks") {
  for (const int size : {1, 2, 3, 5}) {
    CAPTURE(size);
    Failures failures;
    dist::run_ranks(size, [&](ProcessGroup& group) {
      const int rank = group.rank();
      for (const DType dtype : {DType::f32, DType::f64, DType::i64, DType::i32}) {
        const Tensor x = Tensor::full({3, 2}, rank + 1, {.dtype = dtype});
        group.all_reduce(x, "x");
        failures.expect(x.to_vector<double>() == std::vector<double>(6, size * (size + 1) / 2));
        const Tensor least = Tensor::full({2}, rank - 3, {.dtype = dtype});
        group.all_reduce(least, "least", ReduceOp::min);
        failures.expect(least.to_vector<double>() == std::vector<double>(2, -3));
        const Tensor most = Tensor::full({2}, rank - 3, {.dtype = dtype});
        group.all_reduce(most, "most", ReduceOp::max);
        failures.expect(most.to_vector<double>() == std::vector<double>(2, size - 4));
      }
      const Tensor mine = Tensor::full({2}, rank == size - 1 ? 7 : 0, {.dtype = DType::u8});
      group.broadcast(mine, "mine", size - 1);
      failures.expect(mine.to_vector<int64_t>() == std::vector<int64_t>{7, 7});
      const Tensor all = group.all_gather(Tensor::full({2}, rank), "all");
      failures.expect(all.shape() == Shape{size, 2});
      for (int i = 0; i < size; ++i)
        failures.expect(all.select(0, i).to_vector<int64_t>() == std::vector<int64_t>(2, i));
      const Tensor parts = Tensor::full({size * 3}, -1, {.dtype = DType::i64});
      parts.narrow(0, rank * 3, 3).fill_(rank);
      const dist::WorkPtr gathered = group.start_all_gather_in_place(parts, "parts");
      gathered->wait();
      for (int i = 0; i < size; ++i)
        failures.expect(parts.narrow(0, i * 3, 3).to_vector<int64_t>() == std::vector<int64_t>(3, i));
      failures.expect(group.broadcast_text(group.is_root() ? "said by rank 0" : "", "text") == "said by rank 0");
      failures.expect(group.broadcast_text("", "nothing").empty());
      group.barrier("end");
    });
  }
}

TEST_CASE("several collectives may be under way; they are waited for in any order") {
  Failures failures;
  dist::run_ranks(3, [&](ProcessGroup& group) {
    const Tensor a = Tensor::ones({1000}), b = Tensor::ones({5}, {.dtype = DType::f64});
    const dist::WorkPtr first = group.start_all_reduce(a, ReduceOp::sum, "a");
    const dist::WorkPtr second = group.start_all_reduce(b, ReduceOp::sum, "b");
    second->wait();
    first->wait();
    failures.expect(first->done() && second->done());
    failures.expect(a.sum().item() == 3000 && b.sum().item() == 15);
  });
}

TEST_CASE("a rank that fails ends the others' waiting, and its error is what is thrown") {
  std::atomic<int> released = 0;
  const auto run = [&] {
    dist::run_ranks(3, [&](ProcessGroup& group) {
      if (group.rank() == 1) throw DataError("sample 5 is damaged");
      try {
        group.barrier("never complete");
      } catch (const DistError&) {
        ++released;
        throw;
      }
    });
  };
  CHECK_THROWS_WITH_AS(run(), "sample 5 is damaged", DataError);
  CHECK(released == 2);
}

TEST_CASE("a rank that fails with a collective under way: its error is thrown, though the others give up before") {
  struct Pause {
    std::chrono::milliseconds time;
    ~Pause() { std::this_thread::sleep_for(time); }
  };
  const auto rank = [](ProcessGroup& group) {
    if (group.rank() == 2) return;  // so that the collective is never complete
    const Tensor x = Tensor::ones({4});
    // Between the end of the work and the catch of the exception.
    const Pause pause{std::chrono::milliseconds(group.rank() == 1 ? 5 : 0)};
    const dist::WorkPtr work = group.start_all_reduce(x, ReduceOp::sum, "x");
    if (group.rank() == 1) throw DataError("sample 5 is damaged");
    work->wait();
  };
  for (int i = 0; i < 20; ++i) {
    CHECK_THROWS_WITH_AS(dist::run_ranks(3, rank), "sample 5 is damaged", DataError);
  }
}

TEST_CASE("a collective that a rank gave up is not run when the last rank comes: the tensors may be gone") {
  std::atomic<bool> given_up = false;
  double sum = 0;
  const auto rank = [&](ProcessGroup& group) {
    const Tensor x = Tensor::ones({4});
    if (group.rank() == 1) {
      group.start_all_reduce(x, ReduceOp::sum, "x").reset();
      given_up = true;
      return;
    }
    while (!given_up) std::this_thread::yield();
    try {
      group.all_reduce(x, "x");
    } catch (const DistError&) {
      sum = x.sum().item();
      throw;
    }
  };
  CHECK_THROWS_WITH_AS(dist::run_ranks(2, rank), "another rank gave up", DistError);
  CHECK(sum == 4);
}

TEST_CASE("what a backend says of a collective comes with the rank, the collective and a hint") {
  struct Broken final : dist::Work {
    bool done() override { throw DistError("MPI_Testall: truncated", "ask MPI", 3); }
  };
  class BrokenGroup final : public ProcessGroup {
   public:
    BrokenGroup() : ProcessGroup(1, 2) { watch(std::make_unique<dist::Watchdog>(dist::Watchdog::Options(), nullptr)); }
    std::string_view backend() const override { return "broken"; }

   private:
    dist::WorkPtr reduce(void*, size_t, DType, ReduceOp) override { return std::make_unique<Broken>(); }
    dist::WorkPtr spread(void*, size_t, int) override { throw DistError("MPI_Ibcast: no memory"); }
    dist::WorkPtr gather(const void*, void*, size_t) override { return std::make_unique<Broken>(); }
  };
  BrokenGroup group;
  const Tensor x = Tensor::ones({4});
  try {
    group.all_reduce(x, "gradients of fc.weight");
    FAIL("it must throw");
  } catch (const DistError& error) {
    CHECK(std::string(error.what()) ==
          "rank 1: all_reduce of gradients of fc.weight (16 bytes), collective #1: MPI_Testall: truncated");
    CHECK(error.hint() == "ask MPI");
    CHECK(error.code() == 703);
  }
  CHECK_THROWS_WITH_AS(group.broadcast(x, "weights"),
                       "rank 1: broadcast of weights (16 bytes), collective #2: MPI_Ibcast: no memory", DistError);
}

TEST_CASE("ranks that call different collectives are told, and do not hang") {
  const auto sizes = [](ProcessGroup& group) { group.all_reduce(Tensor::ones({group.rank() + 1}), "x"); };
  CHECK_THROWS_WITH_AS(
      dist::run_ranks(2, sizes),
      "the ranks call different collectives, or with different sizes: rank 0 all_reduce (sum) of 1 f32, "
      "rank 1 all_reduce (sum) of 2 f32",
      DistError);
  const auto kinds = [](ProcessGroup& group) {
    const Tensor x = Tensor::ones({4});
    group.is_root() ? group.all_reduce(x, "x") : group.broadcast(x, "x");
  };
  CHECK_THROWS_WITH_AS(dist::run_ranks(2, kinds),
                       doctest::Contains("rank 0 all_reduce (sum) of 4 f32, rank 1 broadcast of 16 bytes from rank 0"),
                       DistError);
}

TEST_CASE("what cannot be exchanged is refused") {
  const dist::GroupPtr group = dist::single();
  CHECK_THROWS_AS(group->all_reduce(Tensor::ones({2}, {.dtype = DType::u8}), "x"), DTypeError);
  CHECK_THROWS_AS(group->all_reduce(Tensor::ones({2, 3}).transpose(0, 1), "x"), ArgumentError);
  CHECK_THROWS_AS(group->broadcast(Tensor::empty({2}, {.device = kMeta}), "x"), DeviceError);
  CHECK_THROWS_AS(dist::run_ranks(0, [](ProcessGroup&) {}), ArgumentError);
  const auto uneven = [](ProcessGroup& ranks) { ranks.start_all_gather_in_place(Tensor::ones({5}), "x"); };
  CHECK_THROWS_WITH_AS(dist::run_ranks(2, uneven), "x: 5 elements are not one part for each of 2 ranks", ArgumentError);
}

TEST_CASE("reducer: gradients are sums over ranks, for any size of buckets, unused parameters too") {
  for (const size_t bucket : {size_t(1), size_t(600), size_t(1) << 20}) {
    CAPTURE(bucket);
    Failures failures;
    dist::run_ranks(3, [&](ProcessGroup& group) {
      PartlyUsed model;
      for (const nn::NamedTensor& each : model.named_parameters()) {  // the same weights on all ranks
        const NoGrad no_grad;
        each.tensor.detach().copy_(
            Tensor::arange(each.tensor.numel()).reshape(each.tensor.shape()).to(DType::f32).sin());
      }
      optim::ParameterArena arena({model.named_parameters()});
      dist::Reducer reducer(group, arena, model, bucket);
      failures.expect(bucket > 1000 ? reducer.bucket_count() == 1 : reducer.bucket_count() >= 2);
      for (int step = 0; step < 3; ++step) {
        const auto loss_of = [&](int rank) { return model(Tensor::full({2, 4}, 1.0 + rank + step)).pow(2).sum(); };
        // By itself: the sum of all ranks' losses.
        arena.zero_grad();
        for (int rank = 0; rank < group.size(); ++rank) loss_of(rank).backward();
        arena.collect_gradients();
        const Tensor wanted = arena.gradients()[0].clone();
        // Together, in two parts: the first without communication.
        arena.zero_grad();
        (loss_of(group.rank()) * 0.25).backward();
        const Tensor rest = loss_of(group.rank()) * 0.75;
        reducer.begin();
        rest.backward();
        arena.collect_gradients();
        reducer.finish();
        const Tensor error = (arena.gradients()[0] - wanted).abs().max() / wanted.abs().max();
        failures.expect(error.item() < 1e-6);
        failures.expect(wanted.abs().max().item() > 0);
      }
    });
  }
}

TEST_CASE("what the watchdog finds goes before the error of the backend") {
  std::atomic<int> last_resorts = 0;
  Failures failures;
  dist::run_ranks(2, [&](ProcessGroup& group) {
    dist::Watchdog::Options options;
    options.rank = group.rank();
    options.size = group.size();
    options.last_resort = [&](int, const std::string&) { ++last_resorts; };
    group.watch(std::make_unique<dist::Watchdog>(
        options, [&](const std::string& text) { return group.broadcast_text(text, "where rank 0 is"); }));
    std::string found;
    try {
      group.all_reduce(Tensor::ones({group.rank() == 0 ? 2 : 3}), "x");  // the thread group refuses at once
    } catch (const dist::RankLost& lost) {
      found = lost.what();
    } catch (const DistError& error) {
      found = format("too early: {}", error.what());
    }
    failures.expect(found.starts_with("the ranks do not do the same: as collective #"));
    failures.expect(found.find("all_reduce of x (12 bytes)") != found.npos);
  });
  CHECK(last_resorts == 0);
}

TEST_CASE("launchers: who is found in the environment") {
  const std::vector<const char*> names = {
      "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "PMI_RANK", "PMI_SIZE", "RANK", "WORLD_SIZE", "SLURM_PROCID",
      "SLURM_NTASKS",         "SLURM_STEP_NUM_TASKS"};
  const auto with = [&](const std::vector<std::pair<const char*, const char*>>& variables) {
    for (const char* name : names) unsetenv(name);
    for (const auto& [name, value] : variables) setenv(name, value, 1);
    const auto launch = dist::find_launch();
    for (const char* name : names) unsetenv(name);
    return launch;
  };
  CHECK(!with({}));
  CHECK(!with({{"OMPI_COMM_WORLD_RANK", "0"}, {"OMPI_COMM_WORLD_SIZE", "1"}}));
  CHECK(with({{"OMPI_COMM_WORLD_RANK", "3"}, {"OMPI_COMM_WORLD_SIZE", "4"}})->rank == 3);
  CHECK(with({{"PMI_RANK", "1"}, {"PMI_SIZE", "2"}})->size == 2);
  CHECK(with({{"RANK", "1"}, {"WORLD_SIZE", "2"}})->launcher == "torchrun");
  CHECK(with({{"SLURM_PROCID", "1"}, {"SLURM_STEP_NUM_TASKS", "2"}})->launcher == "srun");
  CHECK(!with({{"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "8"}}));  // a shell inside an allocation
  CHECK_THROWS_AS(with({{"OMPI_COMM_WORLD_RANK", "x"}, {"OMPI_COMM_WORLD_SIZE", "4"}}), UsageError);
  CHECK_THROWS_AS(with({{"OMPI_COMM_WORLD_RANK", "4"}, {"OMPI_COMM_WORLD_SIZE", "4"}}), UsageError);
}
