// Optimizers, schedules, clipping and the parameter arena against PyTorch, and against each other.
#include <doctest/doctest.h>

#include "autograd/grad_mode.h"
#include "autograd/meta.h"
#include "config/load.h"
#include "fixture.h"
#include "nn/cross_entropy_loss.h"
#include "nn/layers.h"
#include "nn/mse_loss.h"
#include "nn/placement.h"
#include "nn/sequential.h"
#include "ops/ops.h"
#include "optim/adam.h"
#include "optim/clip.h"
#include "optim/ema.h"
#include "optim/optimizers.h"
#include "optim/parameter_arena.h"
#include "optim/schedule.h"
#include "optim/sgd.h"
#include "tensor/arithmetic.h"
#include "tensor/generator.h"

using namespace rstorch;
using namespace rstorch::testing;

namespace {

config::Value yaml(const std::string& text, config::Report& report) { return config::parse(text, "c.yaml", report); }

optim::OptimizerSpec read_spec(const std::string& text) {
  config::Report report;
  auto spec = optim::OptimizerSpec::read(yaml(text, report), report);
  REQUIRE_MESSAGE(report.ok(), report.render());
  return spec;
}

std::string spec_error(const std::string& text, const std::vector<nn::NamedTensor>& parameters = {}) {
  config::Report report;
  const auto spec = optim::OptimizerSpec::read(yaml(text, report), report);
  if (spec) spec.assign(parameters, report);
  CHECK(report.size() == 1);
  return report.render();
}

Tensor leaf(Tensor x) {
  x.set_requires_grad(true);
  return x;
}

// Trajectories may differ by rounding only.
double trajectory_tolerance(DType dtype) { return dtype == DType::f64 ? 1e-12 : 1e-6; }

double state_of(const std::vector<nn::NamedTensor>& state, const std::string& name, const Tensor& wanted) {
  for (const nn::NamedTensor& named : state) {
    if (named.name == name) return difference(named.tensor, wanted);
  }
  return INFINITY;
}

nn::Sequential make_mlp() { return nn::Sequential(nn::Linear(6, 5), nn::ReLU(), nn::Linear(5, 3)); }

}  // namespace

TEST_CASE("optimizer trajectories and state equal PyTorch's, made from YAML") {
  const Fixture fixture("optim");
  for (const std::string& name : fixture.cases()) {
    CAPTURE(name);
    const std::vector<nn::NamedTensor> parameters = {{"0", leaf(fixture.tensor(name + "/start0"))},
                                                     {"1", leaf(fixture.tensor(name + "/start1"))}};
    const DType dtype = parameters[0].tensor.dtype();
    const auto optimizer =
        read_spec(fixture.settings(name).dump()).make({{parameters[0].tensor, parameters[1].tensor}});
    const std::vector<double> lr = fixture.tensor(name + "/lr").to_vector<double>();
    for (size_t step = 0; step < lr.size(); ++step) {
      optimizer->set_lr(lr[step]);
      for (const auto& [index, parameter] : parameters) {
        Tensor(parameter).set_grad(fixture.tensor(name + "/grads" + index)[int64_t(step)].clone());
      }
      optimizer->step();
      for (const auto& [index, parameter] : parameters) {
        const Tensor wanted = fixture.tensor(name + "/values" + index)[int64_t(step)];
        CHECK(difference(parameter, wanted) < trajectory_tolerance(dtype));
      }
    }
    const auto state = optim::named_state(*optimizer, parameters);
    for (const std::string key : {"momentum_buffer", "exp_avg", "exp_avg_sq", "max_exp_avg_sq"}) {
      for (const std::string index : {"0", "1"}) {
        if (!fixture.has(name + "/" + key + index)) continue;
        CHECK(state_of(state, index + "/" + key, fixture.tensor(name + "/" + key + index)) <
              trajectory_tolerance(dtype));
      }
    }
  }
}

TEST_CASE("whole training runs equal PyTorch's") {
  const Fixture fixture("training");
  const nn::PlacementScope placement({kCPU, DType::f64});
  const auto run = [&](const std::string& name, nn::Sequential model, const nn::Loss& loss) {
    CAPTURE(name);
    nn::StateDict start = model.state_dict();
    for (nn::NamedTensor& named : start) named.tensor = fixture.tensor(name + "/start/" + named.name);
    model.load_state_dict(start);
    const auto optimizer = read_spec(fixture.settings(name)["optimizer"].dump()).make({model.parameters()});
    const Tensor x = fixture.tensor(name + "/x"), target = fixture.tensor(name + "/target");
    const std::vector<double> losses = fixture.tensor(name + "/losses").to_vector<double>();
    for (size_t step = 0; step < losses.size(); ++step) {
      optimizer->zero_grad();
      const Tensor value = loss(model(x[int64_t(step)]), target[int64_t(step)]);
      CHECK(value.item() == doctest::Approx(losses[step]).epsilon(1e-10));
      value.backward();
      optimizer->step();
    }
    for (const nn::NamedTensor& named : model.state_dict()) {
      CAPTURE(named.name);
      CHECK(difference(named.tensor, fixture.tensor(name + "/end/" + named.name)) < 1e-9);
    }
    model.eval();
    CHECK(difference(model(x[0]), fixture.tensor(name + "/y_eval")) < 1e-9);
  };
  run("regression", nn::Sequential(nn::Linear(1, 1)), nn::MSELoss());
  run("mlp", nn::Sequential(nn::Linear(8, 16), nn::ReLU(), nn::Linear(16, 4)), nn::CrossEntropyLoss());
  run("cnn",
      nn::Sequential(nn::Conv2d({.in_channels = 1, .out_channels = 3, .kernel_size = 3, .padding = 1, .bias = false}),
                     nn::BatchNorm2d(3), nn::ReLU(), nn::MaxPool2d(2), nn::Flatten(), nn::Linear(27, 4)),
      nn::CrossEntropyLoss());
}

TEST_CASE("a parameter without a gradient is skipped, and its step count stands still") {
  const Tensor a = leaf(Tensor::ones({2})), b = leaf(Tensor::ones({2}));
  optim::AdamW adam({a, b}, {.lr = 0.1, .weight_decay = 0.5});
  Tensor(a).set_grad(Tensor::ones({2}));
  adam.step();
  CHECK(a.to_vector<double>()[0] < 1);
  CHECK(b.to_vector<double>() == std::vector<double>{1, 1});
  CHECK(adam.groups()[0].slots[0].steps == 1);
  CHECK(adam.groups()[0].slots[1].steps == 0);
  adam.zero_grad();
  CHECK_FALSE(a.grad().defined());
}

TEST_CASE("maximize climbs, and grad_scale multiplies gradients") {
  const Tensor a = leaf(Tensor::zeros({1})), b = leaf(Tensor::zeros({1}));
  optim::SGD up({a}, {.lr = 0.5, .maximize = true}), scaled({b}, {.lr = 0.5});
  Tensor(a).set_grad(Tensor::ones({1}));
  Tensor(b).set_grad(Tensor::ones({1}));
  up.step();
  CHECK(a.item() == 0.5);
  scaled.set_grad_scale(0.25);
  scaled.step();
  CHECK(b.item() == -0.125);
}

TEST_CASE("a backward pass through weights that a step has changed is refused") {
  nn::Linear layer(2, 2);
  optim::SGD sgd(layer.parameters(), {.lr = 0.1});
  Tensor x = leaf(Tensor::ones({1, 2}));
  const Tensor y = layer(x).sum();
  y.backward({}, true);
  sgd.step();
  CHECK_THROWS_AS(y.backward(), AutogradError);
}

TEST_CASE("optimizers refuse what they cannot update") {
  CHECK_THROWS_AS(optim::SGD({Tensor::ones({2})}, {.lr = 0.1}), ArgumentError);
  const Tensor a = leaf(Tensor::ones({2}));
  CHECK_THROWS_AS(optim::SGD({a, a}, {.lr = 0.1}), ArgumentError);
  CHECK_THROWS_AS(optim::SGD({a}, {.lr = 0.1, .nesterov = true}), ArgumentError);
}

// --- Groups
// --------------------------------------------------------------------------------------------------------------

TEST_CASE("groups: first match wins, settings are laid over the optimizer's, rates keep their ratio") {
  for (const char* text :
       {"{type: SGD, lr: 0.4, momentum: 0.9, weight_decay: 0.1, groups: [{match: \".*bias\", weight_decay: 0}, "
        "{match: \"2.*\", lr: 0.04}]}",
        "{SGD: {lr: 0.4, momentum: 0.9, weight_decay: 0.1, groups: [{match: \".*bias\", weight_decay: 0}, "
        "{match: \"2.*\", lr: 0.04}]}}"}) {
    const auto spec = read_spec(text);
    const nn::Sequential model = make_mlp();
    config::Report report;
    const auto groups = spec.assign(model.named_parameters(), report);
    REQUIRE(report.ok());
    REQUIRE(groups.size() == 3);
    CHECK(groups[0].size() == 1);
    CHECK(groups[0][0].name == "0.weight");
    CHECK(groups[1].size() == 2);
    CHECK(groups[2][0].name == "2.weight");
    std::vector<std::vector<Tensor>> tensors(3);
    for (size_t i = 0; i < 3; ++i) {
      for (const auto& named : groups[i]) tensors[i].push_back(named.tensor);
    }
    const auto optimizer = spec.make(tensors);
    CHECK(optimizer->groups()[0].settings.weight_decay == 0.1);
    CHECK(optimizer->groups()[1].settings.weight_decay == 0);
    CHECK(optimizer->groups()[1].settings.momentum == 0.9);
    optimizer->set_lr(0.2);
    CHECK(optimizer->lr_of(optimizer->groups()[1]) == 0.2);
    CHECK(optimizer->lr_of(optimizer->groups()[2]) == doctest::Approx(0.02));
    CHECK(spec.lr() == 0.4);
    CHECK(spec.resolved().at("SGD").at("groups").size() == 2);
    CHECK(spec.resolved().at("SGD").at("nesterov") == config::Value(false));
  }
}

TEST_CASE("errors of the optimizer section") {
  const nn::Sequential model = make_mlp();
  const auto has = [](const std::string& text, const char* part) { return text.find(part) != std::string::npos; };
  CHECK(has(spec_error("{type: SGD, lr: 0.1, groups: [{match: \"conv.*\", lr: 1}]}", model.named_parameters()),
            "matches no parameter"));
  CHECK(has(spec_error("{type: SGD, lr: 0.1, groups: [{match: \".*\", weigth_decay: 1}]}"),
            "did you mean `weight_decay`?"));
  CHECK(has(spec_error("{type: SGD, lr: 0.1, groups: [{weight_decay: 1}]}"), "needs the key `match`"));
  CHECK(has(spec_error("{type: SGD, lr: 0.1, groups: 3}"), "wants a list"));
  CHECK(has(spec_error("{type: SGD, lr: 0.1, groups: [{match: \"[\"}]}"), "not a regular expression"));
  CHECK(has(spec_error("{type: SGD, lr: -1}"), "out of range") == false);
  CHECK(has(spec_error("{type: SGD, lr: 0.1, nesterov: true}"), "momentum"));
  CHECK(has(spec_error("{type: AdamV}"), "did you mean `Adam"));
}

// --- Arena
// ---------------------------------------------------------------------------------------------------------------

namespace {

struct Run {
  nn::Sequential model;
  std::unique_ptr<optim::ParameterArena> arena;
  std::unique_ptr<optim::Optimizer> optimizer;
};

Run make_run(const std::string& text, const nn::StateDict& start, bool with_arena,
             optim::ParameterArena::Share share = {}) {
  const auto spec = read_spec(text);
  config::Report report;
  Run run{make_mlp(), nullptr, nullptr};
  run.model.load_state_dict(start);
  const optim::ParameterGroups groups = spec.assign(run.model.named_parameters(), report);
  std::vector<std::vector<Tensor>> tensors(groups.size());
  for (size_t i = 0; i < groups.size(); ++i) {
    for (const auto& named : groups[i]) tensors[i].push_back(named.tensor);
  }
  if (with_arena) {
    run.arena = std::make_unique<optim::ParameterArena>(groups, share);
    tensors = run.arena->flat_groups();
  }
  run.optimizer = spec.make(tensors);
  return run;
}

void train(Run& run, int first, int last) {
  const nn::CrossEntropyLoss loss;
  for (int step = first; step < last; ++step) {
    manual_seed(uint64_t(step));
    const Tensor x = Tensor::randn({8, 6});
    const Tensor target = Tensor::randint(0, 3, {8});
    run.arena ? run.arena->zero_grad() : run.optimizer->zero_grad();
    for (int micro = 0; micro < 2; ++micro) {  // the second adds to the first
      loss(run.model(x.slice(0, 4 * micro, 4 * micro + 4)), target.slice(0, 4 * micro, 4 * micro + 4)).backward();
    }
    if (run.arena) run.arena->collect_gradients();
    run.optimizer->set_lr(0.1 / (1 + step));
    run.optimizer->step();
  }
}

std::vector<nn::NamedTensor> state_of(Run& run) {
  return run.arena ? optim::named_state(*run.optimizer, *run.arena)
                   : optim::named_state(*run.optimizer, run.model.named_parameters());
}

void load_state(Run& run, const std::vector<nn::NamedTensor>& state) {
  if (run.arena)
    optim::load_named_state(*run.optimizer, *run.arena, state);
  else
    optim::load_named_state(*run.optimizer, run.model.named_parameters(), state);
}

nn::StateDict copy_of(const nn::StateDict& dict) {
  nn::StateDict out = dict;
  for (nn::NamedTensor& named : out) named.tensor = copy_new(named.tensor);
  return out;
}

void check_equal(const std::vector<nn::NamedTensor>& a, const std::vector<nn::NamedTensor>& b) {
  REQUIRE(a.size() == b.size());
  for (const nn::NamedTensor& left : a) {
    CAPTURE(left.name);
    const auto right = std::find_if(b.begin(), b.end(), [&](const nn::NamedTensor& x) { return x.name == left.name; });
    REQUIRE(right != b.end());
    CHECK(bit_equal(copy_new(left.tensor), copy_new(right->tensor)));
  }
}

constexpr const char* kOptimizers[] = {
    "{type: SGD, lr: 0.1, momentum: 0.9, nesterov: true, weight_decay: 0.01}",
    "{type: Adam, lr: 0.1, amsgrad: true, weight_decay: 0.01}",
    "{type: AdamW, lr: 0.1, groups: [{match: \".*bias\", weight_decay: 0, lr: 0.2}]}",
};

}  // namespace

TEST_CASE("the arena changes no bit: parameters, state, and checkpoints across layouts") {
  const nn::StateDict start = copy_of(make_mlp().state_dict());
  for (const char* text : kOptimizers) {
    CAPTURE(text);
    Run plain = make_run(text, start, false), flat = make_run(text, start, true);
    train(plain, 0, 5);
    train(flat, 0, 5);
    check_equal(flat.model.state_dict(), plain.model.state_dict());
    check_equal(state_of(flat), state_of(plain));

    // What either saved, the other continues from.
    Run from_plain = make_run(text, copy_of(plain.model.state_dict()), true);
    load_state(from_plain, state_of(plain));
    Run from_flat = make_run(text, copy_of(flat.model.state_dict()), false);
    load_state(from_flat, state_of(flat));
    train(plain, 5, 9);
    train(from_plain, 5, 9);
    train(from_flat, 5, 9);
    check_equal(from_plain.model.state_dict(), plain.model.state_dict());
    check_equal(from_flat.model.state_dict(), plain.model.state_dict());
    check_equal(state_of(from_plain), state_of(from_flat));
  }
}

TEST_CASE("arena layout: aligned slots, gradients in place, gaps zero") {
  nn::Sequential model = make_mlp();
  optim::ParameterArena arena({model.named_parameters()});
  REQUIRE(arena.blocks().size() == 1);
  const auto& block = arena.blocks()[0];
  CHECK(arena.numel() == model.parameter_count());
  for (const auto& slot : block.slots) {
    CHECK(slot.offset % 16 == 0);
    CHECK(reinterpret_cast<uintptr_t>(slot.parameter.raw_data()) % 64 == 0);
    CHECK(slot.parameter.data<float>() == block.parameters.data<float>() + slot.offset);
  }
  model(Tensor::ones({2, 6})).sum().backward();
  arena.collect_gradients();
  double sum = 0, flat = 0;
  for (const auto& slot : block.slots) {
    CHECK(slot.parameter.grad().data<float>() == block.gradients.data<float>() + slot.offset);
    sum += slot.parameter.grad().to(DType::f64).abs().sum().item();
  }
  flat = block.gradients.to(DType::f64).abs().sum().item();
  CHECK(flat == doctest::Approx(sum));
  CHECK(block.own.grad().data<float>() == block.gradients.data<float>());
  CHECK(block.own.numel() == block.parameters.numel());
}

TEST_CASE("arena shares: optimizers of equal slices of each block do together what one of the whole does, to the bit") {
  const nn::StateDict start = copy_of(make_mlp().state_dict());
  for (const char* text : kOptimizers) {
    CAPTURE(text);
    for (const int count : {2, 3, 7}) {
      CAPTURE(count);
      Run whole = make_run(text, start, true);
      std::vector<Run> shares;
      for (int index = 0; index < count; ++index) shares.push_back(make_run(text, start, true, {index, count}));
      for (int step = 0; step < 4; ++step) {
        train(whole, step, step + 1);
        for (Run& own : shares) train(own, step, step + 1);
        const NoGrad no_grad;
        for (const Run& from : shares) {
          for (size_t b = 0; b < from.arena->blocks().size(); ++b) {
            for (const Run& to : shares) {
              from.arena->own_share(to.arena->blocks()[b].parameters).copy_(from.arena->blocks()[b].own);
            }
          }
        }
      }
      const Tensor norm = optim::clip_norm(whole.arena->gradients(), 1);
      for (const Run& own : shares) {
        check_equal(own.model.state_dict(), whole.model.state_dict());
        CHECK(bit_equal(optim::clip_norm(own.arena->gradients(), 1), norm));  // though blocks are longer
        for (const optim::ParameterArena::Block& block : own.arena->blocks()) {
          CHECK(block.own.numel() * count == block.parameters.numel());
          CHECK(reinterpret_cast<uintptr_t>(block.own.raw_data()) % 64 == 0);
        }
      }
    }
  }
}

TEST_CASE("zeros behind gradients, as in blocks that are longer for shares, change no bit of their norm") {
  for (const DType dtype : {DType::f32, DType::f64}) {
    for (const int64_t length : {16, 4096, 9000}) {  // a norm is summed up in pieces of 4096
      manual_seed(uint64_t(length));
      const Tensor gradients = Tensor::randn({length}, {.dtype = dtype});
      const Tensor norm = optim::clip_norm({gradients.clone()}, 1);
      for (const int64_t gap : {8, 16, 100, 5000}) {
        const Tensor longer = Tensor::zeros({length + gap}, {.dtype = dtype});
        longer.narrow(0, 0, length).copy_(gradients);
        CHECK(bit_equal(optim::clip_norm({longer}, 1), norm));
      }
    }
  }
}

TEST_CASE("arena: a write to one parameter is none to another, a write to the whole is one to each") {
  nn::Linear first(2, 2), second(2, 2);
  optim::ParameterArena arena({{{"a", first.weight}, {"b", first.bias}, {"c", second.weight}, {"d", second.bias}}});
  const auto backward = [&](const Tensor& written) {
    const Tensor y = second(first(Tensor::ones({1, 2}))).sum();
    {
      const NoGrad no_grad;
      Tensor(written).mul_(0.5);
    }
    y.backward();
  };
  backward(second.bias);  // no gradient needs it
  CHECK_THROWS_AS(backward(second.weight), AutogradError);
  CHECK_THROWS_AS(backward(arena.blocks()[0].parameters), AutogradError);
}

TEST_CASE("arena: a parameter that got no gradient counts as zero, stale numbers are never used") {
  nn::Linear used(2, 2), unused(2, 2);
  optim::ParameterArena arena({{{"used", used.weight}, {"unused", unused.weight}}});
  unused(Tensor::ones({1, 2})).sum().backward();
  arena.zero_grad();
  used(Tensor::ones({1, 2})).sum().backward();
  arena.collect_gradients();
  CHECK(unused.weight.grad().to_vector<double>() == std::vector<double>(4, 0));
  CHECK(used.weight.grad().to_vector<double>() == std::vector<double>(4, 1));
}

TEST_CASE("arena: one block per group and dtype") {
  const Tensor a = leaf(Tensor::ones({3})), b = leaf(Tensor::ones({5}, {.dtype = DType::f64})),
               c = leaf(Tensor::ones({2}));
  const optim::ParameterArena arena({{{"a", a}, {"b", b}}, {{"c", c}}});
  REQUIRE(arena.blocks().size() == 3);
  CHECK(arena.flat_groups().size() == 2);
  CHECK(arena.flat_groups()[0].size() == 2);
  CHECK(b.to_vector<double>() == std::vector<double>(5, 1));
}

TEST_CASE("moving averages: the first update copies, later ones follow; the model computes with them on demand") {
  nn::Sequential model(nn::Linear(2, 3), nn::Linear(3, 1));
  optim::ParameterArena arena({model.named_parameters()});
  CHECK_THROWS_AS(optim::ExponentialMovingAverage(arena, 1.5), ArgumentError);
  optim::ExponentialMovingAverage average(arena, 0.75);
  const auto set = [&](double value) {
    const NoGrad no_grad;
    for (const Tensor& parameter : model.parameters()) parameter.detach().fill_(value);
  };
  const auto weight = [&] { return model.parameters()[2].select(0, 0).select(0, 1).item(); };
  set(5);
  CHECK(average.state().empty());
  CHECK(average.in_place([&] { return weight(); }) == 5);  // nothing is averaged yet
  for (const double value : {5.0, 1.0, 3.0}) {
    set(value);
    average.update();
  }
  CHECK(average.in_place([&] { return weight(); }) == 0.75 * (0.75 * 5 + 0.25 * 1) + 0.25 * 3);
  CHECK(weight() == 3);
  CHECK_THROWS_AS(average.in_place([&]() -> int { throw DataError("no"); }), DataError);
  CHECK(weight() == 3);

  const std::vector<nn::NamedTensor> state = average.state();
  REQUIRE(state.size() == 4);
  CHECK(state[2].name == "ema/1.weight");
  CHECK(state[2].tensor.shape() == Shape{1, 3});
  optim::ExponentialMovingAverage other(arena, 0.5);
  other.load_state(state);
  set(0);
  other.update();
  CHECK(other.in_place([&] { return weight(); }) == 0.5 * 3.75);
  CHECK_THROWS_WITH_AS(other.load_state({state[0], state[1], state[3]}), doctest::Contains("ema/1.weight"),
                       CheckpointError);
  other.load_state({{"1.weight/momentum_buffer", Tensor::zeros({1, 3})}});
  CHECK_FALSE(other.has_begun());
}

TEST_CASE("optimizer state of other parameters is refused, every key named") {
  const nn::StateDict start = copy_of(make_mlp().state_dict());
  Run run = make_run(kOptimizers[0], start, true);
  auto state = state_of(run);
  state[0].name = "0.wieght/momentum_buffer";
  try {
    load_state(run, state);
    FAIL("loaded a wrong state");
  } catch (const CheckpointError& error) {
    CHECK(std::string(error.what()).find("missing: 0.weight/momentum_buffer") != std::string::npos);
    CHECK(std::string(error.what()).find("unexpected: 0.wieght/momentum_buffer") != std::string::npos);
  }
}

TEST_CASE("optimizers of slices of a block have the state of the parameters that lie in them") {
  const nn::StateDict start = copy_of(make_mlp().state_dict());
  Run whole = make_run(kOptimizers[1], start, true), sharded = make_run(kOptimizers[1], start, true);
  train(whole, 0, 3);
  train(sharded, 0, 3);
  const auto state = state_of(whole);

  const optim::ParameterArena::Block& block = sharded.arena->blocks()[0];
  REQUIRE(block.slots.size() == 4);
  const auto slice = [&](int64_t begin, int64_t end) {
    return leaf(block.parameters.detach().narrow(0, begin, end - begin));
  };
  const auto names_of = [](const std::vector<nn::NamedTensor>& of) {
    std::string out;
    for (const nn::NamedTensor& named : of) {
      if (named.name.ends_with("/step")) out += named.name + " ";
    }
    return out;
  };
  const int64_t cut = block.slots[2].offset, end = block.parameters.numel();
  optim::Adam low({slice(0, cut)}, {.amsgrad = true}), high({slice(cut, end)}, {.amsgrad = true});
  CHECK(names_of(optim::named_state(low, *sharded.arena)) == "0.weight/step 0.bias/step ");
  CHECK(names_of(optim::named_state(high, *sharded.arena)) == "2.weight/step 2.bias/step ");

  // Together they hold what the optimizer of the whole block has, and give it back.
  const auto is_of_high = [](const nn::NamedTensor& named) { return named.name.starts_with("2."); };
  std::vector<nn::NamedTensor> low_state, high_state;
  for (const nn::NamedTensor& named : state) (is_of_high(named) ? high_state : low_state).push_back(named);
  optim::load_named_state(low, *sharded.arena, low_state);
  optim::load_named_state(high, *sharded.arena, high_state);
  CHECK(high.groups()[0].slots[0].steps == 3);
  auto together = optim::named_state(low, *sharded.arena);
  for (const nn::NamedTensor& named : optim::named_state(high, *sharded.arena)) together.push_back(named);
  check_equal(together, state);

  // A parameter that lies in two of them is not put together yet; what has no name could not be saved.
  optim::SGD inside({slice(cut, cut + 1)}, {.lr = 0.1}), gap({slice(cut - 1, cut)}, {.lr = 0.1});
  CHECK_THROWS_AS(optim::named_state(inside, *sharded.arena), InternalError);
  CHECK_THROWS_AS(optim::named_state(gap, *sharded.arena), ArgumentError);
  optim::SGD stranger({leaf(Tensor::ones({3}))}, {.lr = 0.1});
  CHECK_THROWS_AS(optim::named_state(stranger, *sharded.arena), ArgumentError);
  CHECK_THROWS_AS(optim::named_state(stranger, sharded.model.named_parameters()), ArgumentError);
}

TEST_CASE("parameters of one block with different step counts are refused, and nothing is written") {
  const nn::StateDict start = copy_of(make_mlp().state_dict());
  Run plain = make_run(kOptimizers[1], start, false), flat = make_run(kOptimizers[1], start, true);
  train(plain, 0, 2);
  const Tensor first = plain.model.named_parameters()[0].tensor;
  plain.optimizer->zero_grad();
  Tensor(first).set_grad(Tensor::ones(first.shape()));
  plain.optimizer->step();
  const auto before = copy_of(state_of(flat));
  try {
    load_state(flat, state_of(plain));
    FAIL("loaded two step counts into one");
  } catch (const CheckpointError& error) {
    CHECK(std::string(error.what()) ==
          "optimizer state: 0.weight/step is 3 and 0.bias/step is 2, but one step count is kept for both");
  }
  check_equal(state_of(flat), before);
  Run again = make_run(kOptimizers[1], start, false);
  load_state(again, state_of(plain));
  check_equal(state_of(again), state_of(plain));
}

// --- Schedules
// ------------------------------------------------------------------------------------------------------------

namespace {

std::unique_ptr<optim::Schedule> make_schedule(const std::string& text, double lr, const optim::RunLength& run) {
  config::Report report;
  auto schedule = optim::schedules().make(yaml(text, report), report, lr, run);
  REQUIRE_MESSAGE(report.ok(), report.render());
  return schedule;
}

// A fixture's schedule as a config says it; empty for kinds that we spell otherwise.
std::string schedule_text(const Json& s) {
  const std::string type = s["type"];
  if (type == "StepLR")
    return format("{{step: {{step_size: {} steps, gamma: {}}}}}", s["step_size"].dump(), s["gamma"].dump());
  if (type == "ExponentialLR") return format("{{step: {{step_size: 1 step, gamma: {}}}}}", s["gamma"].dump());
  if (type == "MultiStepLR") {
    std::string milestones;
    for (const Json& at : s["milestones"]) milestones += (milestones.empty() ? "" : ", ") + at.dump() + " steps";
    return format("{{multistep: {{milestones: [{}], gamma: {}}}}}", milestones, s["gamma"].dump());
  }
  if (type == "CosineAnnealingLR") {
    return format("{{cosine: {{T_max: {} steps, min_lr: {}}}}}", s["T_max"].dump(), s["eta_min"].dump());
  }
  if (s["total_iters"].get<int>() != s["warmup"].get<int>() - 1)
    return "";  // reaches the rate one step later than ours
  return format("{{cosine: {{warmup: {} steps, min_lr: {}}}}}", s["warmup"].dump(), s["eta_min"].dump());
}

}  // namespace

TEST_CASE("schedules equal PyTorch's") {
  const Fixture fixture("schedule");
  int compared = 0;
  for (const std::string& name : fixture.cases()) {
    CAPTURE(name);
    const Json settings = fixture.settings(name);
    const std::string text = schedule_text(settings);
    if (text.empty()) continue;
    optim::RunLength run;
    if (settings.contains("total")) run.total_steps = settings["total"].get<int64_t>();
    const auto schedule = make_schedule(text, settings["lr"], run);
    const std::vector<double> wanted = fixture.tensor(name + "/lr").to_vector<double>();
    for (size_t step = 0; step < wanted.size(); ++step) {
      CHECK(std::abs(schedule->lr(int64_t(step)) - wanted[step]) < 1e-12);
    }
    ++compared;
  }
  CHECK(compared == 10);
}

TEST_CASE("each registered optimizer and schedule is made from YAML") {
  const Tensor parameter = leaf(Tensor::ones({2}));
  for (const std::string_view name : optim::optimizers().names()) {
    CAPTURE(std::string(name));
    const auto optimizer = read_spec(std::string(name)).make({{parameter}});
    Tensor(parameter).set_grad(Tensor::ones({2}));
    const double before = parameter.to_vector<double>()[0];
    optimizer->step();
    CHECK(parameter.to_vector<double>()[0] < before);
  }
  const std::map<std::string, std::string> required = {{"multistep", "milestones: [1, 2]"}, {"step", "step_size: 1"}};
  for (const std::string_view name : optim::schedules().names()) {
    CAPTURE(std::string(name));
    const auto found = required.find(std::string(name));
    const std::string keys = found == required.end() ? "" : found->second;
    const auto schedule = make_schedule(format("{{{}: {{{}}}}}", name, keys), 0.5, {.total_steps = 10});
    CHECK(schedule->lr(0) == 0.5);
  }
}

TEST_CASE("schedules: epochs, ends and warm-up") {
  const optim::RunLength run{.steps_per_epoch = 10, .total_steps = 100};
  CHECK(make_schedule("constant", 0.1, run)->lr(99) == 0.1);
  CHECK(make_schedule("{constant: {warmup: 4 steps}}", 0.1, run)->lr(0) == doctest::Approx(0.025));
  const auto step = make_schedule("{type: step, step_size: 3 epochs, gamma: 0.5}", 0.8, run);
  CHECK(step->lr(29) == 0.8);
  CHECK(step->lr(30) == 0.4);
  const auto linear = make_schedule("{type: linear, warmup: 2 epochs, min_lr: 0.1}", 0.5, run);
  CHECK(linear->lr(19) == 0.5);
  CHECK(linear->lr(20) == 0.5);
  CHECK(linear->lr(60) == doctest::Approx(0.3));
  CHECK(linear->lr(100) == doctest::Approx(0.1));
  CHECK(linear->lr(500) == linear->lr(100));
  CHECK(make_schedule("{type: cosine, T_max: 5}", 1, run)->lr(50) ==
        doctest::Approx(0).epsilon(1e-12));  // a bare number: epochs
  CHECK_THROWS_AS(make_schedule("cosine", 0.1, {.steps_per_epoch = 10, .total_steps = {}}), ArgumentError);
  CHECK_THROWS_AS(make_schedule("{cosine: {warmup: 101 steps}}", 0.1, run), ArgumentError);
  CHECK(make_schedule("{cosine: {warmup: 100 steps}}", 0.1, run)->lr(99) == 0.1);  // a run that is all warm-up
  CHECK(make_schedule("{linear: {warmup: 100 steps}}", 0.1, run)->lr(100) == 0);
  config::Report report;
  optim::schedules().read(yaml("{step: {step_size: 2 h}}", report), report);
  CHECK(report.size() == 1);
}

// --- Clipping
// ---------------------------------------------------------------------------------------------------------------

TEST_CASE("gradient clipping equals PyTorch's") {
  const Fixture fixture("clip");
  for (const std::string& name : fixture.cases()) {
    CAPTURE(name);
    const Json settings = fixture.settings(name);
    std::vector<Tensor> parameters;
    for (const char* index : {"0", "1", "2"}) {
      const Tensor grad = fixture.tensor(name + "/grad" + index);
      Tensor parameter = leaf(zeros_like(grad));
      parameter.set_grad(grad);
      parameters.push_back(parameter);
    }
    parameters.push_back(leaf(Tensor::zeros({3})));  // without a gradient
    const Tensor norm = nn::utils::clip_grad_norm_(parameters, settings["max_norm"],
                                                   std::stod(settings["norm_type"].get<std::string>()));
    const double tol = tolerance(parameters[0]);
    CHECK(norm.item() == doctest::Approx(fixture.tensor(name + "/norm").item()).epsilon(tol));
    for (const size_t i : {size_t(0), size_t(1), size_t(2)}) {
      CHECK(difference(parameters[i].grad(), fixture.tensor(name + "/clipped" + std::to_string(i))) < tol);
    }
  }
}

TEST_CASE("clipping leaves gradients alone whose norm is not finite; values are cut; all_finite sees") {
  const Tensor bad = Tensor::from<float>({1.f, INFINITY}), good = Tensor::from<float>({3.f, -4.f});
  CHECK(optim::all_finite({good, good}).item<bool>());
  CHECK_FALSE(optim::all_finite({good, bad}).item<bool>());
  for (const double norm_type : {2.0, 1.0}) {
    optim::clip_norm({good, bad}, 1, norm_type);
    CHECK(good.to_vector<double>() == std::vector<double>{3, -4});
  }
  CHECK(optim::clip_norm({good}, 100).item() == 5);
  optim::clip_value({good}, 2);
  CHECK(good.to_vector<double>() == std::vector<double>{2, -2});
  CHECK_THROWS_AS(optim::clip_norm({good}, 0), ArgumentError);
}
