// Mixed precision on CUDA: autocast's rules, and training in bf16, f16 with loss scaling.
#include <doctest/doctest.h>

#include "compare.h"
#include "nn/batch_norm.h"
#include "nn/conv2d.h"
#include "nn/cross_entropy_loss.h"
#include "nn/layers.h"
#include "nn/sequential.h"
#include "ops/autocast.h"
#include "optim/grad_scaler.h"
#include "optim/parameter_arena.h"
#include "optim/sgd.h"
#include "tensor/generator.h"
#include "tensor/runtime.h"

using namespace rstorch;
using namespace rstorch::testing;

namespace {

const TensorOptions kOnCuda = {kFloat32, Device("cuda")};

// A model with what autocast treats in each of its ways, on CUDA in f32.
struct Classifier {
  nn::Sequential model{nn::Conv2d({.in_channels = 2, .out_channels = 4, .kernel_size = 3, .bias = false}),
                       nn::BatchNorm2d(4),
                       nn::ReLU(),
                       nn::Flatten(),
                       nn::Linear(64, 32),
                       nn::LayerNorm(32),
                       nn::GELU(),
                       nn::Linear(32, 5)};
  Tensor x, target;
  nn::CrossEntropyLoss loss;

  explicit Classifier(Device device) {
    manual_seed(3);
    model.apply([](nn::Module& module) { module.reset_parameters(); });
    x = Tensor::randn({24, 2, 6, 6}).to(device);
    target = Tensor::randint(0, 5, {24}).to(device);
    model.to(device);
  }
  Tensor run(DType lower) {
    const Autocast autocast(lower);
    return loss(model(x), target);
  }
};

}  // namespace

TEST_CASE("autocast chooses PyTorch's dtypes") {
  const Tensor x = Tensor::randn({4, 4}, kOnCuda), image = Tensor::randn({2, 3, 5, 5}, kOnCuda);
  const Tensor filter = Tensor::randn({4, 3, 3, 3}, kOnCuda), bias = Tensor::randn({4}, kOnCuda);
  for (const DType lower : {kBFloat16, kFloat16}) {
    const Autocast autocast(lower);
    const Tensor half = matmul(x, x);
    for (const Tensor& y :
         {half, linear(x, x, bias), linear_relu(x, x), linear_gelu_tanh(x, x, bias), conv2d(image, filter, bias),
          conv2d_relu(image, filter), matmul(half, x), relu(half), half + half, mean(half)}) {
      CHECK(y.dtype() == lower);
    }
    for (const Tensor& y : {exp(half), log(half), rsqrt(half), pow(half, 2), 1.0 / half, sum(half), prod(half),
                            softmax(half, 1), log_softmax(half, 1), layer_norm(half, {4}, bias, bias),
                            mse_loss(half, x), half + x, binary_cross_entropy_with_logits(half, sigmoid(x)),
                            cross_entropy(half, Tensor::zeros({4}, {kInt64, x.device()}), bias.abs())}) {
      CHECK(y.dtype() == kFloat32);
    }
    const Tensor heads = Tensor::randn({1, 2, 3, 4}, kOnCuda);
    CHECK(scaled_dot_product_attention(heads, heads, heads).dtype() == lower);
    const Tensor wide = x.to(kFloat64);
    CHECK(matmul(wide, wide).dtype() == kFloat64);
    const Tensor here = x.to("cpu");
    CHECK(matmul(here, here).dtype() == kFloat32);
    {
      const Autocast off(kFloat32);
      CHECK(matmul(x, x).dtype() == kFloat32);
    }
    CHECK(matmul(x, x).dtype() == lower);
  }
  CHECK(matmul(x, x).dtype() == kFloat32);
  CHECK_THROWS_WITH(Autocast autocast(kInt64), "autocast: i64 is no lower precision");
}

TEST_CASE("under autocast gradients come in f32 and are those of f32 within the lower precision") {
  Classifier exact(kCPU);
  exact.run(kFloat32).backward();
  for (const DType lower : {kBFloat16, kFloat16}) {
    Classifier low("cuda");
    low.run(lower).backward();
    const double allowed = lower == kBFloat16 ? 0.12 : 0.015;  // PyTorch is off by up to 0.06 in bf16
    const auto wanted = exact.model.named_parameters(), got = low.model.named_parameters();
    for (size_t i = 0; i < got.size(); ++i) {
      const Tensor gradient = got[i].tensor.grad().to("cpu"), reference = wanted[i].tensor.grad();
      REQUIRE(gradient.dtype() == kFloat32);
      const double error =
          std::sqrt(square(gradient - reference).sum().item() / (1e-12 + square(reference).sum().item()));
      CHECK_MESSAGE(error < allowed, got[i].name, " in ", name_of(lower), ": ", error);
    }
  }
}

TEST_CASE("a model trained in f16 with loss scaling goes as one in f32, overflows included") {
  const auto train = [](Device device, DType lower) {
    Classifier c(device);
    optim::ParameterArena arena({c.model.named_parameters()});
    optim::SGD sgd(arena.flat_groups()[0], {.lr = 0.1, .momentum = 0.9});
    std::optional<optim::GradScaler> scaler;
    if (lower == kFloat16) scaler.emplace(device, optim::GradScaler::Config{.init_scale = 0x1p30});
    double loss_value = 0;
    const auto left_out = [&] { return scaler && scaler->get_scale() > 0x1p20; };
    for (int step = 0; step < 12;) {
      arena.zero_grad();
      const Tensor loss = c.run(lower);
      loss.backward(scaler ? scaler->factor() : Tensor());
      arena.collect_gradients();
      if (!scaler) sgd.step();
      if (scaler) {
        const double before = scaler->get_scale();
        scaler->unscale(arena.gradients());
        scaler->step(sgd);
        scaler->update();
        if (scaler->get_scale() < before) continue;  // it overflowed, and nothing was updated
      }
      loss_value = loss.item();
      ++step;
    }
    CHECK(!left_out());
    if (scaler) scaler->settle(sgd);
    CHECK(sgd.groups()[0].slots[0].steps == 12);
    return loss_value;
  };
  const double exact = train(kCPU, kFloat32);
  CHECK(exact < 1.0);
  CHECK(train("cuda", kFloat16) == doctest::Approx(exact).epsilon(0.05));
  CHECK(train("cuda", kBFloat16) == doctest::Approx(exact).epsilon(0.15));
}

TEST_CASE("a stream that allows TF32 rounds the factors of f32 products, and no others") {
  const Tensor a = Tensor::full({16, 16}, 1 + 0x1p-20, kOnCuda),
               image = Tensor::full({1, 4, 8, 8}, 1 + 0x1p-20, kOnCuda);
  const Tensor filter = Tensor::ones({4, 4, 3, 3}, kOnCuda);
  const auto products = [&] {
    return std::pair(matmul(a, a).to("cpu")[0][0].item(), conv2d(image, filter).to("cpu")[0][0][0][0].item());
  };
  Stream& stream = current_stream(a.device());
  const auto [product, convolution] = products();
  CHECK(product > 16);
  CHECK(convolution > 36);
  stream.allow_tf32(true);
  const auto [rounded, rounded_convolution] = products();
  stream.allow_tf32(false);
  CHECK(rounded == doctest::Approx(16).epsilon(1e-5));
  CHECK(rounded_convolution == doctest::Approx(36).epsilon(1e-5));
  CHECK(products().first == product);
}
