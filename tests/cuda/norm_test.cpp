// Normalisation of the CUDA module against the CPU's, in sizes, layouts and types that the cases of tests/ops leave
// out.
#include "kernels/norm.h"

#include <doctest/doctest.h>

#include "compare.h"
#include "kernels/element.h"
#include "tensor/generator.h"
#include "tensor/runtime.h"

using namespace rstorch;
using namespace rstorch::testing;

namespace {

constexpr DType kFloats[] = {kFloat32, kFloat64, kBFloat16, kFloat16};

Tensor channels_last(const Tensor& x) { return x.permute({0, 2, 3, 1}).contiguous().permute({0, 3, 1, 2}); }
Tensor as_given(const Tensor& x) { return x; }

Tensor leaf(const Tensor& x, DType dtype, Device device) {
  return x.defined() ? x.detach().to(dtype).to(device).set_requires_grad(true) : x;
}

// Results on both devices, the CPU's of halves in f32; run(x, weight, bias) gives y and what else is to be compared.
template <class F>
void compare(const Tensor& x, Tensor (*layout)(const Tensor&), const Tensor& weight, const Tensor& bias, F run,
             const std::string& what) {
  const DType dtype = x.dtype(), wide = kernels::compute_dtype(dtype);
  const Tensor dy = Tensor::randn(x.shape()).to(dtype);
  const auto pass = [&](DType type, Device device) {
    const Tensor w = leaf(weight, wide, device), b = leaf(bias, wide, device);
    Tensor in = layout(x.to(type).to(device)).detach().set_requires_grad(true);
    std::vector<Tensor> out = run(in, w, b);
    out[0].backward(dy.to(type).to(device));
    out[0] = out[0].detach().to(dtype);
    out.push_back(in.grad().to(dtype));
    if (w.defined()) out.push_back(w.grad());
    if (b.defined()) out.push_back(b.grad());
    return out;
  };
  const auto cpu = pass(wide, kCPU), cuda = pass(dtype, "cuda");
  for (size_t i = 0; i < cpu.size(); ++i) {
    check_close(cuda[i], cpu[i], format("{} {}, result {}", what, name_of(dtype), i));
  }
}

}  // namespace

TEST_CASE("batch normalisation on cuda and cpu: planes and channels-last, packs and single elements, few and many") {
  manual_seed(1);
  const Shape shapes[] = {{6, 8, 4, 4}, {5, 3, 7, 5}, {2, 1, 40, 40}, {40, 16, 8, 8}, {9, 24}, {70, 5}};
  for (const DType dtype : kFloats) {
    const DType wide = kernels::compute_dtype(dtype);
    for (const Shape& shape : shapes) {
      const Tensor x = numbers(dtype, shape) + 3;
      const Tensor weight = Tensor::rand({shape[1]}), bias = Tensor::randn({shape[1]});
      for (const auto layout : {as_given, channels_last}) {
        if (layout == channels_last && shape.dims() != 4) continue;
        const std::string what = format("batch_norm of {}{}", shape.text(), layout == channels_last ? ", last" : "");
        for (const bool training : {true, false}) {
          for (const bool affine : {true, false}) {
            compare(
                x, layout, affine ? weight : Tensor(), affine ? bias : Tensor(),
                [&](const Tensor& in, const Tensor& w, const Tensor& b) {
                  const Tensor mean = Tensor::full({shape[1]}, 2, {wide, in.device()});
                  const Tensor var = Tensor::full({shape[1]}, 3, {wide, in.device()});
                  return std::vector{batch_norm(in, w, b, mean, var, {.training = training}), mean, var};
                },
                what + (training ? ", training" : ", fixed") + (affine ? ", affine" : ""));
          }
        }
      }
    }
  }
}

TEST_CASE("a large common offset does not swallow the variance of a channel") {
  manual_seed(2);
  const Tensor x = Tensor::randn({64, 3, 11, 11}) + 1e4;
  const auto moments = [&](Device device) {
    const Tensor out = Tensor::empty({7}, {kFloat64, device});
    kernels::batch_norm_moments(current_stream(device), x.to(device).view(), out.mutable_view());
    return out;
  };
  check_close(moments("cuda"), moments(kCPU), "moments");
}

TEST_CASE("moments of several batches are joined on cuda as on the cpu, empty ones too") {
  const Tensor rows =
      Tensor::from(std::vector<double>{0, 0, 0, 0, 0, 4, 1, -2, 3, 0, 0, 0, 0, 0, 0, 6, 2, 5, 1, 8}, {4, 5});
  for (const Tensor& moments : {rows, rows.slice(0, 0, 1)}) {
    const auto statistics = [&](Device device) {
      const Tensor out = Tensor::ones({4, 2}, {kFloat64, device});
      const auto row = [&](int64_t i) { return out[i].mutable_view(); };
      kernels::batch_norm_statistics(current_stream(device), moments.to(device).view(), 1e-5, 0.3, row(0), row(1),
                                     row(2), row(3));
      return out;
    };
    check_close(statistics("cuda"), statistics(kCPU), "statistics");
  }
}

TEST_CASE("layer normalisation on cuda and cpu: rows of every length, many rows") {
  manual_seed(3);
  const Shape shapes[] = {{1, 1}, {130, 20}, {9, 500}, {3, 2000}, {1200, 3}};
  for (const DType dtype : kFloats) {
    for (const Shape& shape : shapes) {
      const Tensor x = numbers(dtype, shape) + 3;
      const Tensor weight = Tensor::rand({shape[1]}), bias = Tensor::randn({shape[1]});
      const std::string what = "layer_norm of " + shape.text();
      const auto run = [&](const Tensor& in, const Tensor& w, const Tensor& b) {
        return std::vector{layer_norm(in, {shape[1]}, w, b, 1e-5)};
      };
      compare(x, as_given, weight, bias, run, what + ", affine");
      compare(x, as_given, weight, {}, run, what + ", weight");
      compare(x, as_given, {}, {}, run, what);
    }
  }
}
