// DistributedDataParallel and the functions of distributed.h, with threads as ranks.
#include "dist/distributed.h"

#include <doctest/doctest.h>

#include "autograd/engine.h"
#include "autograd/grad_mode.h"
#include "dist/distributed_data_parallel.h"
#include "dist/sync_batch_norm.h"
#include "dist/thread_group.h"
#include "failures.h"
#include "nn/layers.h"
#include "nn/sequential.h"
#include "ops/ops.h"
#include "optim/sgd.h"
#include "tensor/generator.h"

using namespace rstorch;
using dist::ProcessGroup;

namespace {

nn::Sequential make_model() { return nn::Sequential(nn::Linear(4, 8), nn::Tanh(), nn::Linear(8, 2)); }

// Of rank `rank` at a step: other numbers for each.
Tensor samples(int rank, int step) { return (Tensor::arange(12.0).reshape({3, 4}) + (1.5 * rank + 0.7 * step)).sin(); }

double distance(const Tensor& a, const Tensor& b) { return (a - b).abs().max().item(); }

}  // namespace

TEST_CASE("DistributedDataParallel refuses what ranks cannot add up before anything is exchanged") {
  for (const DType dtype : {DType::bf16, DType::f16}) {
    nn::Sequential model = make_model();
    model.to(dtype);
    const dist::GroupPtr group = dist::single();
    try {
      nn::DistributedDataParallel(std::move(model), {.process_group = group.get()});
      FAIL("it must not be made");
    } catch (const DTypeError& error) {
      CHECK(
          std::string(error.what())
              .starts_with(format("DistributedDataParallel: module.0.weight is {}, and ranks add up", name_of(dtype))));
      CHECK(error.hint() == "call model.to(DType::f32) before");
    }
  }
}

TEST_CASE("at_end_of_backward: after all gradients, once, and forgotten by a pass that throws") {
  Tensor a = Tensor::ones({2}), b = Tensor::ones({2});
  a.set_requires_grad(true);
  b.set_requires_grad(true);
  int calls = 0;
  bool both = false;
  a.register_post_accumulate_grad_hook([&](const Tensor&) {
    at_end_of_backward([&] {
      ++calls;
      both = a.grad().defined() && b.grad().defined();
    });
  });
  (a * b).sum().backward();
  CHECK(calls == 1);
  CHECK(both);
  b.register_post_accumulate_grad_hook([](const Tensor&) { throw DataError("a hook that fails"); });
  CHECK_THROWS_AS((a * b).sum().backward(), DataError);
  CHECK(calls == 1);
  CHECK_THROWS_AS(at_end_of_backward([] {}), AutogradError);
}

TEST_CASE("DistributedDataParallel: gradients are means over ranks, in every pass, for any size of buckets") {
  for (const int ranks : {1, 2, 3}) {
    for (const int cap : {0, 25}) {
      CAPTURE(ranks);
      CAPTURE(cap);
      Failures failures;
      dist::run_ranks(ranks, [&](ProcessGroup& group) {
        nn::DistributedDataParallel model(make_model(), {.process_group = &group, .bucket_cap_mb = cap});
        nn::Sequential alone = make_model();
        alone.load_state_dict(model.module().state_dict());
        optim::SGD both(model.parameters(), {.lr = 0.1, .momentum = 0.9}),
            one(alone.parameters(), {.lr = 0.1, .momentum = 0.9});
        for (int step = 0; step < 4; ++step) {
          both.zero_grad();
          one.zero_grad();
          model(samples(group.rank(), step)).pow(2).mean().backward();
          for (int rank = 0; rank < ranks; ++rank)
            (alone(samples(rank, step)).pow(2).mean() / double(ranks)).backward();
          for (size_t i = 0; i < alone.parameters().size(); ++i) {
            failures.expect(distance(model.parameters()[i].grad(), alone.parameters()[i].grad()) < 1e-6);
            failures.expect(alone.parameters()[i].grad().abs().max().item() > 1e-4);
          }
          both.step();
          one.step();
        }
        failures.expect(distance(model.parameters()[0], alone.parameters()[0]) < 1e-6);
      });
    }
  }
}

TEST_CASE("DistributedDataParallel: all ranks begin with rank 0's weights and buffers; keys begin with module.") {
  Failures failures;
  dist::run_ranks(3, [&](ProcessGroup& group) {
    nn::Sequential made(nn::Linear(4, 4), nn::BatchNorm1d(4));
    const NoGrad no_grad;
    for (const nn::NamedTensor& each : made.state_dict()) Tensor(each.tensor).fill_(group.rank() + 2);
    const nn::DistributedDataParallel model(std::move(made), {.process_group = &group});
    failures.expect(model.state_dict()[0].name == "module.0.weight");
    for (const nn::NamedTensor& each : model.state_dict()) {
      failures.expect(each.tensor.to(DType::f64).min().item() == 2 && each.tensor.to(DType::f64).max().item() == 2);
    }
  });
}

TEST_CASE("DistributedDataParallel: no_sync adds up here, and the next pass exchanges the sum") {
  Failures failures;
  dist::run_ranks(2, [&](ProcessGroup& group) {
    nn::DistributedDataParallel model(make_model(), {.process_group = &group});
    nn::Sequential alone = make_model();
    alone.load_state_dict(model.module().state_dict());
    {
      const auto no_sync = model.no_sync();
      model(samples(group.rank(), 0)).pow(2).mean().backward();
    }
    alone(samples(group.rank(), 0)).pow(2).mean().backward();
    failures.expect(distance(model.parameters()[0].grad(), alone.parameters()[0].grad()) == 0);
    model(samples(group.rank(), 1)).pow(2).mean().backward();
    for (const Tensor& parameter : alone.parameters()) Tensor(parameter).zero_grad();
    for (int rank = 0; rank < 2; ++rank) {
      for (int step = 0; step < 2; ++step) (alone(samples(rank, step)).pow(2).mean() / 2.0).backward();
    }
    failures.expect(distance(model.parameters()[0].grad(), alone.parameters()[0].grad()) < 1e-6);
  });
}

TEST_CASE("DistributedDataParallel: parameters that some ranks or all leave out, frozen ones, evaluation") {
  struct Branches : nn::Module {
    nn::Linear& a = register_module("a", nn::Linear(4, 2));
    nn::Linear& b = register_module("b", nn::Linear(4, 2));
    nn::Linear& frozen = register_module("frozen", nn::Linear(4, 2));
    bool use_b = false;
    Tensor forward(const Tensor& x) override { return use_b ? b(x) : a(x) + frozen(x); }
  };
  Failures failures;
  dist::run_ranks(2, [&](ProcessGroup& group) {
    Branches made;
    made.use_b = group.rank() == 1;
    made.frozen.weight.set_requires_grad(false);
    made.frozen.bias.set_requires_grad(false);
    nn::DistributedDataParallel model(std::move(made), {.process_group = &group});
    model(Tensor::ones({1, 4})).sum().backward();
    for (const nn::NamedTensor& named : model.named_parameters()) {
      const bool frozen = named.name.find("frozen") != named.name.npos;
      failures.expect(frozen ? !named.tensor.grad().defined()
                             : distance(named.tensor.grad(), full_like(named.tensor, 0.5)) == 0);
    }
    // One rank alone evaluates: nobody is waited for.
    model.eval();
    const NoGrad no_grad;
    if (group.rank() == 0) failures.expect(model(Tensor::ones({1, 4})).shape() == Shape{1, 2});
  });
}

TEST_CASE("DistributedDataParallel: parameters that nobody uses get zeros, on any number of ranks") {
  struct Half : nn::Module {
    nn::Linear& used = register_module("used", nn::Linear(4, 2));
    nn::Linear& unused = register_module("unused", nn::Linear(4, 2));
    Tensor forward(const Tensor& x) override { return used(x); }
  };
  for (const int ranks : {1, 2}) {
    Failures failures;
    dist::run_ranks(ranks, [&](ProcessGroup& group) {
      nn::DistributedDataParallel model(Half{}, {.process_group = &group});
      model(Tensor::ones({1, 4})).sum().backward();
      for (const nn::NamedTensor& named : model.named_parameters()) {
        const double wanted = named.name.find("unused") == named.name.npos ? 1 : 0;
        failures.expect(distance(named.tensor.grad(), full_like(named.tensor, wanted)) == 0);
      }
    });
  }
}

TEST_CASE("DistributedDataParallel: gradients that somebody set are added to, and sent") {
  Failures failures;
  dist::run_ranks(2, [&](ProcessGroup& group) {
    // Buckets go out while the pass runs: each parameter is one.
    nn::DistributedDataParallel model(make_model(), {.process_group = &group, .bucket_cap_mb = 0});
    for (const double before : {0.0, 1.0}) {
      for (const Tensor& parameter : model.parameters()) Tensor(parameter).zero_grad();
      model(samples(group.rank(), 0)).pow(2).mean().backward();
      std::vector<Tensor> wanted;
      for (const Tensor& parameter : model.parameters()) wanted.push_back(parameter.grad() + before);
      for (const Tensor& parameter : model.parameters()) Tensor(parameter).set_grad(full_like(parameter, before));
      model(samples(group.rank(), 0)).pow(2).mean().backward();
      for (size_t i = 0; i < wanted.size(); ++i)
        failures.expect(distance(model.parameters()[i].grad(), wanted[i]) < 1e-6);
    }
  });
}

TEST_CASE("DistributedDataParallel: after a backward pass that threw on all ranks the next one is whole") {
  Failures failures;
  dist::run_ranks(3, [&](ProcessGroup& group) {
    nn::DistributedDataParallel model(make_model(), {.process_group = &group, .bucket_cap_mb = 0});
    bool fails = true;
    model.parameters()[1].register_hook([&](const Tensor&) -> Tensor {
      if (fails) throw DataError("a hook that fails");
      return {};
    });
    int caught = 0;
    try {
      model(samples(group.rank(), 0)).pow(2).mean().backward();
    } catch (const DataError&) {
      ++caught;
    }
    failures.expect(caught == 1);
    fails = false;
    for (const Tensor& parameter : model.parameters()) Tensor(parameter).zero_grad();
    model(samples(group.rank(), 1)).pow(2).mean().backward();
    nn::Sequential alone = make_model();
    alone.load_state_dict(model.module().state_dict());
    for (int rank = 0; rank < 3; ++rank) (alone(samples(rank, 1)).pow(2).mean() / 3.0).backward();
    for (size_t i = 0; i < alone.parameters().size(); ++i) {
      failures.expect(distance(model.parameters()[i].grad(), alone.parameters()[i].grad()) < 1e-6);
    }
  });
}

TEST_CASE("a parameter is in one arena at a time") {
  nn::Sequential model = make_model();
  {
    const optim::ParameterArena arena({model.named_parameters()});
    CHECK_THROWS_WITH_AS(optim::ParameterArena({model.named_parameters()}),
                         "arena: 0.weight is in another ParameterArena", ArgumentError);
  }
  optim::ParameterArena again({model.named_parameters()});
  model(samples(0, 0)).sum().backward();
  again.collect_gradients();
  CHECK(again.gradients()[0].abs().max().item() > 0);
}

TEST_CASE("DistributedDataParallel: another model on a rank is told by its name, before anything is exchanged") {
  const auto run = [] {
    dist::run_ranks(3, [&](ProcessGroup& group) {
      nn::Sequential made(nn::Linear(4, group.rank() == 2 ? 5 : 6));
      const nn::DistributedDataParallel model(std::move(made), {.process_group = &group});
    });
  };
  CHECK_THROWS_WITH_AS(run(),
                       "DistributedDataParallel: rank 2 has another model than rank 0: `module.0.weight f32 [5, 4], "
                       "trained` there, `module.0.weight f32 [6, 4], trained` on rank 0",
                       DistError);
  const dist::GroupPtr alone = dist::single();
  CHECK_THROWS_AS(nn::DistributedDataParallel(nn::ReLU(), {.process_group = alone.get()}), ArgumentError);
}

TEST_CASE("SyncBatchNorm: the batch of all ranks") {
  nn::BatchNorm1d whole(4);
  const Tensor both = cat({samples(0, 0), samples(1, 0)}, 0);
  const Tensor wanted = whole(both);
  Failures failures;
  dist::run_ranks(2, [&](ProcessGroup& group) {
    nn::BatchNorm1d mine(4);
    nn::SyncBatchNorm::convert_sync_batchnorm(mine, &group);
    failures.expect(distance(mine(samples(group.rank(), 0)), wanted.narrow(0, 3 * group.rank(), 3)) < 1e-6);
    failures.expect(distance(mine.running_var, whole.running_var) < 1e-6);
  });
}

TEST_CASE("the default group: one rank where no launcher is, and clear errors") {
  CHECK(!distributed::is_initialized());
  CHECK_THROWS_WITH_AS(distributed::get_rank(), doctest::Contains("no process group"), DistError);
  CHECK_THROWS_WITH_AS(distributed::init_process_group("gloo"), doctest::Contains("backend is \"gloo\""),
                       ArgumentError);
  CHECK_THROWS_WITH_AS(distributed::init_process_group("mpi", -1, -1, std::chrono::milliseconds(999)),
                       doctest::Contains("timeout is 999 ms, wanted 1 s or more"), ArgumentError);
  CHECK_THROWS_WITH_AS(distributed::init_process_group("mpi", 1, 4), doctest::Contains("rank 0 of 1"), ArgumentError);
  CHECK(!distributed::is_initialized());
  distributed::init_process_group("auto", 0, 1);
  CHECK(distributed::get_rank() == 0);
  CHECK(distributed::get_world_size() == 1);
  CHECK(distributed::get_local_rank() == 0);
  CHECK_THROWS_AS(distributed::init_process_group(), DistError);
  const Tensor x = Tensor::full({2}, 3);
  distributed::all_reduce(x);
  distributed::broadcast(x, 0);
  distributed::barrier();
  CHECK(x.to_vector<double>() == std::vector<double>{3, 3});
  CHECK(distributed::all_gather(x).shape() == Shape{1, 2});
  nn::DistributedDataParallel model(make_model());
  model(samples(0, 0)).sum().backward();
  CHECK(model.parameters()[0].grad().defined());
  distributed::destroy_process_group();
  CHECK(!distributed::is_initialized());
}
