// Models trained on CUDA against the same trained on the CPU: forward, backward, clipping and optimizer through the
// library.
#include <doctest/doctest.h>

#include "compare.h"
#include "nn/batch_norm.h"
#include "nn/cross_entropy_loss.h"
#include "nn/layers.h"
#include "nn/sequential.h"
#include "optim/adam.h"
#include "optim/clip.h"
#include "optim/parameter_arena.h"
#include "tensor/generator.h"

using namespace rstorch;
using namespace rstorch::testing;

namespace {

// Losses of ten steps, then the weights.
std::vector<Tensor> train(Device device) {
  manual_seed(1);
  nn::Sequential model(nn::Linear(20, 32), nn::BatchNorm1d(32), nn::ReLU(), nn::Linear(32, 24), nn::LayerNorm(24),
                       nn::ReLU(), nn::Linear(24, 10));
  const Tensor x = Tensor::randn({64, 20}).to(kFloat64).to(device), target = Tensor::randint(0, 10, {64}).to(device);
  model.to(kFloat64);
  model.to(device);
  optim::ParameterArena arena({model.named_parameters()});
  optim::AdamW optimizer(arena.flat_groups()[0], {.lr = 1e-2});
  const nn::CrossEntropyLoss loss({.label_smoothing = 0.1});
  std::vector<Tensor> out;
  for (int step = 0; step < 10; ++step) {
    arena.zero_grad();
    const Tensor value = loss(model(x), target);
    value.backward();
    arena.collect_gradients();
    optim::clip_norm(arena.gradients(), 1.0);
    optimizer.step();
    out.push_back(value.detach());
  }
  for (const nn::NamedTensor& named : model.state_dict()) out.push_back(named.tensor);
  return out;
}

}  // namespace

TEST_CASE("a model trained on cuda goes the way that it goes on the cpu") {
  const auto cpu = train(kCPU), cuda = train("cuda");
  CHECK(cpu[9].item() < 0.7 * cpu[0].item());
  REQUIRE(cuda.size() == cpu.size());
  for (size_t i = 0; i < cpu.size(); ++i) {
    const double worst = (cuda[i].to("cpu").to(kFloat64) - cpu[i].to(kFloat64)).abs().max().item();
    CHECK_MESSAGE(worst < 1e-9, "result ", i, " differs by ", worst);
  }
}
