// Attention of the CUDA module against the CPU's: more than one tile of everything, halves, on tensor cores and not.
#include <doctest/doctest.h>

#include "compare.h"
#include "kernels/element.h"
#include "ops/ops.h"
#include "tensor/generator.h"

using namespace rstorch;
using namespace rstorch::testing;

namespace {

struct Sizes {
  int64_t length, keys, features, values;
};

// Result and gradients on both devices; the CPU's of halves in f32.
void compare(const std::vector<Tensor>& qkv, const Tensor& mask, const AttentionOptions& options,
             const std::string& what) {
  const DType dtype = qkv[0].dtype(), wide = kernels::compute_dtype(dtype);
  Shape shape = qkv[0].shape();
  shape[shape.dims() - 1] = qkv[2].size(-1);
  // Small: the backward pass starts from a result that was rounded to halves, an error that dy multiplies.
  const Tensor dy = (Tensor::randn(shape) * 0.25).to(dtype);
  const auto pass = [&](DType type, Device device) {
    const auto there = [&](const Tensor& x) { return x.dtype() == kBool ? x.to(device) : x.to(type).to(device); };
    std::vector<Tensor> in;
    for (const Tensor& x : qkv) in.push_back(there(x).detach().set_requires_grad(true));
    const Tensor y = scaled_dot_product_attention(in[0], in[1], in[2], mask.defined() ? there(mask) : mask, options);
    y.backward(there(dy));
    std::vector<Tensor> out = {y.detach().to(dtype)};
    for (const Tensor& x : in) out.push_back(x.grad().to(dtype));
    return out;
  };
  const auto cpu = pass(wide, kCPU), cuda = pass(dtype, "cuda");
  for (size_t i = 0; i < cpu.size(); ++i) {
    check_close(cuda[i], cpu[i], format("{} {} {}, result {}", qkv[0].shape().text(), name_of(dtype), what, i));
  }
}

std::vector<Tensor> queries_keys_values(DType dtype, const Sizes& sizes) {
  const auto of = [&](int64_t rows, int64_t columns) { return Tensor::randn({1, 2, rows, columns}).to(dtype); };
  return {of(sizes.length, sizes.features), of(sizes.keys, sizes.features), of(sizes.keys, sizes.values)};
}

const RandomKey key{.seed = 7, .purpose = Purpose::dropout, .layer = 3, .step = 5, .first = 1};

}  // namespace

TEST_CASE("attention on cuda and cpu: several tiles of queries, keys and features") {
  manual_seed(1);
  for (const DType dtype : {kFloat32, kFloat64, kBFloat16, kFloat16}) {
    for (const Sizes& sizes : {Sizes{70, 70, 24, 24}, {33, 100, 70, 9}, {130, 5, 8, 80}}) {
      const std::vector<Tensor> in = queries_keys_values(dtype, sizes);
      compare(in, {}, {}, "plain");
      compare(in, {}, {.is_causal = true, .dropout_p = 0.3, .key = key}, "causal, dropout");
      compare(in, Tensor::randn({sizes.length, sizes.keys}).to(dtype), {.scale = 0.2}, "mask of numbers");
      compare(in, gt(Tensor::randn({2, 1, sizes.keys}), 0.5), {}, "bool mask");
    }
  }
}

TEST_CASE("attention on tensor cores: 64 and 128 features of halves") {
  manual_seed(2);
  for (const DType dtype : {kBFloat16, kFloat16}) {
    for (const Sizes& sizes : {Sizes{150, 90, 64, 64}, {40, 70, 128, 128}}) {
      const std::vector<Tensor> in = queries_keys_values(dtype, sizes);
      compare(in, {}, {}, "plain");
      compare(in, {}, {.is_causal = true}, "causal");
      compare(in, gt(Tensor::randn({sizes.length, sizes.keys}), 0.5), {.dropout_p = 0.3, .key = key}, "mask, dropout");
    }
  }
}

TEST_CASE("attention on cuda reads heads where they lie, and lines that 16 bytes do not fit") {
  manual_seed(3);
  for (const int64_t features : {64, 70}) {
    const Tensor projected = Tensor::randn({1, 20, 3 * 2 * features + 8}).to(kBFloat16);
    for (const int64_t offset : {0, 1, 8}) {
      std::vector<Tensor> qkv;
      for (int i = 0; i < 3; ++i) {
        const Tensor part = slice(projected, -1, i * 2 * features + offset, (i + 1) * 2 * features + offset);
        qkv.push_back(part.reshape({1, 20, 2, features}).transpose(1, 2));
      }
      compare(qkv, {}, {.is_causal = true}, format("heads at {}", offset));
    }
  }
}

TEST_CASE("a query that sees no key gives zeros on cuda, and infinity as its log-sum does no harm") {
  manual_seed(4);
  for (const DType dtype : {kFloat32, kBFloat16}) {
    const std::vector<Tensor> in = queries_keys_values(dtype, {3, 40, 64, 64});
    Tensor mask = Tensor::zeros({3, 40}, {kBool});
    mask.select(0, 1).fill_(true);
    compare(in, mask, {}, "hidden queries");
  }
}
