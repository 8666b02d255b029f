// Dynamic loss scaling against PyTorch's GradScaler.
#include "optim/grad_scaler.h"

#include <cmath>
#include <limits>

#include <doctest/doctest.h>

#include "config/load.h"
#include "fixture.h"
#include "ops/ops.h"
#include "optim/adam.h"
#include "optim/clip.h"
#include "optim/optimizer_state.h"
#include "optim/optimizers.h"
#include "optim/sgd.h"

using namespace rstorch;
using namespace rstorch::testing;

namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

Tensor leaf(const Tensor& values) { return values.clone().set_requires_grad(true); }

std::unique_ptr<optim::Optimizer> make_optimizer(const Json& settings, const std::vector<nn::NamedTensor>& parameters) {
  config::Report report;
  const auto spec = optim::OptimizerSpec::read(config::parse(settings.dump(), "c.yaml", report), report);
  REQUIRE_MESSAGE(report.ok(), report.render());
  return spec.make({{parameters[0].tensor, parameters[1].tensor}});
}

optim::GradScaler::Config config_of(const Json& settings) {
  return {settings["init_scale"], settings["growth_factor"], settings["backoff_factor"], settings["growth_interval"]};
}

double number(const std::vector<nn::NamedTensor>& state, std::string_view name) {
  for (const nn::NamedTensor& named : state) {
    if (named.name == name) return named.tensor.item();
  }
  FAIL("there is no " << name);
  return 0;
}

double worst_difference(const Tensor& a, const Tensor& b) { return (a.detach() - b).abs().max().item(); }

}  // namespace

TEST_CASE("scale, growth and updates follow PyTorch's GradScaler through overflows") {
  const Fixture fixture("grad_scaler");
  for (const std::string& name : fixture.cases()) {
    CAPTURE(name);
    const auto settings = fixture.settings(name);
    const std::vector<nn::NamedTensor> parameters = {{"0", leaf(fixture.tensor(name + "/start0"))},
                                                     {"1", leaf(fixture.tensor(name + "/start1"))}};
    const auto optimizer = make_optimizer(settings["optimizer"], parameters);
    optim::GradScaler scaler(kCPU, config_of(settings["scaler"]));
    const Tensor scales = fixture.tensor(name + "/scale"), growth = fixture.tensor(name + "/growth_tracker");
    int64_t left_out = 0;
    for (int64_t step = 0; step < scales.numel(); ++step) {
      CAPTURE(step);
      for (const auto& [index, parameter] : parameters) {
        Tensor(parameter).set_grad(fixture.tensor(name + "/grads" + index)[step].clone());
      }
      if (!settings["max_norm"].is_null()) {
        scaler.unscale(optimizer->gradients());
        optim::clip_norm(optimizer->gradients(), settings["max_norm"]);
      }
      scaler.step(*optimizer);
      scaler.update();
      left_out += (step == 0 ? scaler.get_scale() < settings["scaler"]["init_scale"]
                             : scales[step].item() < scales[step - 1].item());
      CHECK(scaler.get_scale() == scales[step].item());
      CHECK(number(scaler.state(), "grad_scaler/growth_tracker") == growth[step].item());
      for (const auto& [index, parameter] : parameters) {
        CHECK(worst_difference(parameter, fixture.tensor(name + "/values" + index)[step]) < 2e-6);
      }
      if (step == 11) scaler.settle(*optimizer);  // in the middle: it must not change anything
    }
    REQUIRE(left_out > 0);
    scaler.settle(*optimizer);
    CHECK(optimizer->groups()[0].slots[0].steps == scales.numel() - left_out);
  }
}

TEST_CASE("gradients are unscaled once, whoever asks for it") {
  const Tensor a = leaf(Tensor::zeros({2})), b = leaf(Tensor::zeros({3}));
  optim::SGD sgd({a, b}, {.lr = 1});
  optim::GradScaler scaler(kCPU, {.init_scale = 8});
  scaler.scale((a * 2).sum() + (b * 3).sum()).backward();
  CHECK(a.grad()[0].item() == 16);
  scaler.unscale({a.grad()});
  CHECK(a.grad()[0].item() == 2);
  scaler.step(sgd);
  scaler.update();
  CHECK(a[0].item() == -2);
  CHECK(b[0].item() == -3);
  CHECK(scaler.get_scale() == 8);
}

TEST_CASE("a scaler serves one optimizer, since what it leaves out is one count") {
  const Tensor a = leaf(Tensor::zeros({2})), b = leaf(Tensor::zeros({3}));
  optim::SGD first({a}, {.lr = 1}), second({b}, {.lr = 1});
  optim::GradScaler scaler(kCPU);
  scaler.guard(first);
  scaler.guard(first);
  CHECK_THROWS_WITH(scaler.guard(second), "GradScaler: it serves another optimizer");
}

TEST_CASE("the loss may be f16, the scale is not") {
  const Tensor w = leaf(Tensor::ones({2}).to(kFloat64)), loss = (w * 0.5).sum().to(kFloat16);
  const Tensor scaled = optim::GradScaler(kCPU).scale(loss);
  CHECK(scaled.dtype() == kFloat32);
  CHECK(scaled.item() == 65536);
}

TEST_CASE("a gradient with gaps between its elements is unscaled in place") {
  const Tensor wide = Tensor::full({2, 2}, 8.0), column = wide.slice(1, 0, 1);
  optim::GradScaler scaler(kCPU, {.init_scale = 4});
  scaler.unscale({column});
  CHECK(wide.to_vector<double>() == std::vector<double>{2, 8, 2, 8});
  CHECK(!scaler.found_inf().item<bool>());
}

TEST_CASE("a step that is left out leaves parameters and momentum as they were, and the next is the first") {
  const Tensor w = leaf(Tensor::ones({2}));
  optim::SGD sgd({w}, {.lr = 1, .momentum = 0.5, .dampening = 0.5});
  optim::GradScaler scaler(kCPU, {.init_scale = 2});
  const auto step_with = [&](float gradient) {
    Tensor(w).set_grad(Tensor::from({2.0F, gradient}));
    scaler.step(sgd);
    scaler.update();
  };
  step_with(kInf);
  CHECK(w.to_vector<double>() == std::vector<double>{1, 1});
  CHECK(scaler.get_scale() == 1);
  step_with(4);  // the first update takes the gradient as it is, whatever the dampening
  CHECK(w.to_vector<double>() == std::vector<double>{-1, -3});
}

TEST_CASE("what was left out is forgotten where state is loaded: the step counts come with it") {
  const Tensor w = leaf(Tensor::ones({1}));
  optim::Adam adam({w}, {.lr = 0.1});
  optim::GradScaler scaler(kCPU, {.init_scale = 1});
  for (int i = 0; i < 3; ++i) {
    Tensor(w).set_grad(Tensor::from({kInf}));
    scaler.step(adam);
    scaler.update();
  }
  const std::vector<nn::NamedTensor> saved = scaler.state();
  scaler.load_state(saved);
  adam.groups()[0].slots[0].steps = 0;
  Tensor(w).set_grad(Tensor::from({1.0F}));
  scaler.step(adam);
  scaler.update();
  CHECK(w.item() == doctest::Approx(0.9).epsilon(1e-5));  // the first update of Adam is lr long
}

TEST_CASE("scaler state goes from one to another; what is missing stays") {
  optim::GradScaler from(kCPU, {.init_scale = 128}), to(kCPU);
  from.load_state({});
  CHECK(from.get_scale() == 128);
  to.load_state(from.state());
  CHECK(to.get_scale() == 128);
  for (const nn::NamedTensor& named : from.state()) CHECK(optim::GradScaler::is_state(named.name));
}

TEST_CASE("settings that make no sense are refused") {
  CHECK_THROWS_WITH(optim::GradScaler(kCPU, {.init_scale = 0}), "GradScaler: init_scale is 0, wanted more than 0");
  CHECK_THROWS_AS(optim::GradScaler(kCPU, {.growth_factor = 1}), ArgumentError);
  CHECK_THROWS_AS(optim::GradScaler(kCPU, {.backoff_factor = 1}), ArgumentError);
  CHECK_THROWS_AS(optim::GradScaler(kCPU, {.growth_interval = 0}), ArgumentError);
}
