// Losses of the CUDA module against the CPU's, in sizes and types that the cases of tests/ops leave out.
#include <functional>

#include <doctest/doctest.h>

#include "compare.h"
#include "kernels/element.h"
#include "tensor/generator.h"
#include "tensor/runtime.h"

using namespace rstorch;
using namespace rstorch::testing;

namespace {

constexpr DType kFloats[] = {kFloat32, kFloat64, kBFloat16, kFloat16};

// A loss of x and its gradient on both devices; the CPU computes halves in f32.
void compare(const Tensor& x, const std::function<Tensor(const Tensor& x, Device)>& loss, const std::string& what) {
  const DType dtype = x.dtype();
  const auto run = [&](const Tensor& values, Device device) {
    const Tensor leaf = values.detach().to(device).set_requires_grad(true);
    const Tensor y = loss(leaf, device);
    y.backward(
        (Tensor::arange(y.numel()).reshape(y.shape()).to(kFloat64).sin() + 2).to(dtype).to(y.dtype()).to(device));
    return std::vector<Tensor>{y.detach().to(dtype), leaf.grad().to(dtype)};
  };
  const auto cpu = run(x.to(kernels::compute_dtype(dtype)), kCPU), cuda = run(x, "cuda");
  check_close(cuda[0], cpu[0], format("{} {}", what, name_of(dtype)));
  check_close(cuda[1], cpu[1], format("gradient of {} {}", what, name_of(dtype)));
}

Tensor labels_for(const Shape& target, int64_t classes) {
  std::vector<int64_t> labels;
  for (int64_t i = 0; i < target.numel(); ++i) labels.push_back((i * 7 + 3) % classes);
  return Tensor::from(labels, target);
}

}  // namespace

TEST_CASE("cross-entropy on cuda and cpu: rows of every length, side by side, ignored, weighted, smoothed") {
  manual_seed(1);
  const Shape shapes[] = {{1, 1}, {70, 10}, {9, 500}, {2, 3000}, {2, 5, 300}, {5, 70, 1}};
  for (const DType dtype : kFloats) {
    for (const Shape& shape : shapes) {
      const Tensor x = numbers(dtype, shape) * 3 + 10;
      Shape target_shape = shape;
      target_shape.erase(1);
      Tensor target = labels_for(target_shape, shape[1]);
      if (target.numel() > 2) target.flatten().slice(0, 1, 2).fill_(-100);
      const Tensor weight = (Tensor::rand({shape[1]}) + 0.5).to(dtype);
      for (const Reduction reduction : {Reduction::none, Reduction::mean, Reduction::sum}) {
        for (const double smoothing : {0.0, 0.1}) {
          for (const Tensor& weights : {Tensor(), weight}) {
            compare(
                x,
                [&](const Tensor& logits, Device device) {
                  const Tensor w = weights.defined() ? weights.to(device).to(logits.dtype()) : weights;
                  return cross_entropy(logits, target.to(device), w,
                                       {.reduction = reduction, .label_smoothing = smoothing});
                },
                format("cross_entropy of {}, reduction {}, smoothing {}, {}", shape.text(), int(reduction), smoothing,
                       weights.defined() ? "weighted" : "not weighted"));
          }
        }
      }
    }
  }
}

TEST_CASE("cross-entropy on cuda of infinite logits is the CPU's") {
  const double inf = std::numeric_limits<double>::infinity(), nan = std::nan("");
  for (const std::vector<double>& row : {std::vector{-inf, 1.0, 2.0, 3.0},
                                         {1.0, -inf, 2.0, -inf},
                                         {-inf, -inf, -inf, -inf},
                                         {inf, 0.0, 1.0, 2.0},
                                         {0.0, nan, 1.0, 2.0}}) {
    for (const double smoothing : {0.0, 0.25}) {
      const auto loss = [&](Device device) {
        const Tensor x = Tensor::from(row, {1, 4}).to(device), target = Tensor::ones({1}, {kInt64, device});
        return cross_entropy(x, target, {}, {.label_smoothing = smoothing});
      };
      check_close(loss("cuda"), loss(kCPU), format("first logit {}, smoothing {}", row[0], smoothing));
    }
  }
}

TEST_CASE("losses of all elements on cuda and cpu: many, few, broadcast weights") {
  manual_seed(2);
  const Shape shapes[] = {{}, {7}, {3, 41}, {40, 30, 31}};
  for (const DType dtype : kFloats) {
    for (const Shape& shape : shapes) {
      const Tensor x = numbers(dtype, shape), target = Tensor::rand(shape).to(dtype);
      const Tensor weight = shape.empty() ? Tensor() : (Tensor::rand({shape.back()}) + 0.5).to(dtype);
      for (const Reduction reduction : {Reduction::none, Reduction::mean, Reduction::sum}) {
        const std::string what = format("of {}, reduction {}", shape.text(), int(reduction));
        compare(
            x,
            [&](const Tensor& values, Device device) {
              return mse_loss(values, target.to(device).to(values.dtype()), reduction);
            },
            "mse_loss " + what);
        for (const Tensor& weights : {Tensor(), weight}) {
          compare(
              x,
              [&](const Tensor& values, Device device) {
                const Tensor w = weights.defined() ? weights.to(device).to(values.dtype()) : weights;
                return binary_cross_entropy_with_logits(values, target.to(device).to(values.dtype()), w, reduction);
              },
              "bce_with_logits " + what);
        }
      }
    }
  }
}

TEST_CASE("a target out of range on cuda is the CPU's error, thrown when the host waits, once") {
  const Tensor x = Tensor::randn({4, 3}), target = labels_for({4}, 3);
  target.slice(0, 2, 3).fill_(3);
  const Tensor there = x.to("cuda").set_requires_grad(true);
  const Tensor loss = cross_entropy(there, target.to("cuda"));
  loss.backward();
  try {
    loss.item();
    FAIL("nothing was thrown");
  } catch (const ArgumentError& e) {
    CHECK(
        std::string(e.what()) ==
        "cross_entropy: target 2 is 3, wanted a class from 0 to 2 (in an earlier call: cuda:0 found it while the host "
        "went on)");
    CHECK(e.hint() == "check the labels, or that the last layer has as many outputs as there are classes");
  }
  CHECK(std::isfinite(loss.item()));
  const std::vector<double> gradient = there.grad().to_vector<double>();
  CHECK(gradient[0] != 0);
  CHECK(gradient[6] == 0);  // the target that does not count
  target.slice(0, 2, 3).fill_(-1);
  const Tensor again = cross_entropy(there, target.to("cuda"));
  CHECK_THROWS_WITH_AS(there.to("cpu"), doctest::Contains("cross_entropy: target 2 is -1, wanted"), ArgumentError);
  current_stream("cuda").synchronize();
}
