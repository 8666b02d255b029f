// Attention in sizes that take several blocks, against the ops that it stands for; and what it refuses.
#include <doctest/doctest.h>

#include "harness.h"
#include "ops/ops.h"
#include "tensor/generator.h"

using namespace rstorch;
using namespace rstorch::testing;

namespace {

// By products and softmax: what the fused op must equal.
Tensor composed(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& mask,
                const AttentionOptions& options) {
  Tensor scores = matmul(q, k.transpose(-2, -1)) * options.scale.value_or(1 / std::sqrt(double(q.size(-1))));
  if (options.is_causal) {
    const Tensor i = Tensor::arange(q.size(-2)).unsqueeze(1), j = Tensor::arange(k.size(-2));
    scores = masked_fill(scores, gt(j, i), -INFINITY);
  }
  if (mask.defined())
    scores = mask.dtype() == kBool ? masked_fill(scores, logical_not(mask), -INFINITY) : scores + mask;
  return matmul(dropout(softmax(scores, -1), options.dropout_p, options.key), v);
}

using Attend = decltype(composed);

std::vector<Array> results(Attend* attend, std::vector<Tensor> in, const Tensor& mask,
                           const AttentionOptions& options) {
  for (Tensor& x : in) x = x.detach().set_requires_grad(true);
  const Tensor y = attend(in[0], in[1], in[2], mask, options);
  manual_seed(9);
  y.backward(Tensor::randn(y.shape()).to(y.dtype()));
  return {to_array(y), to_array(in[0].grad()), to_array(in[1].grad()), to_array(in[2].grad())};
}

void compare(const std::vector<Tensor>& in, const Tensor& mask = {}, const AttentionOptions& options = {}) {
  INFO("query ", in[0].shape().text(), " key ", in[1].shape().text(), " ", name_of(in[0].dtype()));
  const auto fused = results(scaled_dot_product_attention, in, mask, options),
             wanted = results(composed, in, mask, options);
  const Tolerance tolerance = in[0].dtype() == kFloat64 ? Tolerance{1e-11, 1e-12} : Tolerance{1e-4, 2e-5};
  for (size_t i = 0; i < wanted.size(); ++i) {
    INFO("result ", i);
    CHECK_EQ(difference(fused[i], wanted[i], tolerance), "");
  }
}

const RandomKey key{.seed = 7, .purpose = Purpose::dropout, .layer = 3, .step = 5, .first = 1};

}  // namespace

TEST_CASE("attention of many blocks equals the ops that it stands for") {
  for (const DType dtype : {kFloat32, kFloat64}) {
    manual_seed(1);
    const auto numbers = [&](const Shape& shape) { return Tensor::randn(shape).to(dtype); };
    for (const auto [length, keys, features, values] :
         {std::array{130, 130, 16, 16}, {70, 600, 8, 20}, {300, 65, 33, 7}, {1, 270, 64, 64}}) {
      const std::vector<Tensor> in = {numbers({2, 2, length, features}), numbers({2, 2, keys, features}),
                                      numbers({2, 2, keys, values})};
      compare(in);
      compare(in, {}, {.is_causal = true});
      compare(in, numbers({2, 1, length, keys}), {.scale = 0.2});
      const Tensor seen = gt(numbers({length, keys}), -0.5);
      compare(in, seen, {.dropout_p = 0.3, .key = key});
      compare(in, {}, {.is_causal = true, .dropout_p = 0.3, .key = key});
    }
  }
}

TEST_CASE("attention reads the heads of a projection where they lie, and gives its result and gradients so") {
  manual_seed(2);
  const int64_t batch = 2, time = 70, heads = 3, features = 8;
  const Tensor projected = Tensor::randn({batch, time, 3 * heads * features}).set_requires_grad(true);
  const auto split_heads = [&](const Tensor& x) { return x.view({batch, time, heads, features}).transpose(1, 2); };
  const auto run = [&](bool copied) {
    Tensor qkv[3];
    for (int i = 0; i < 3; ++i) {
      qkv[i] = split_heads(slice(projected, -1, i * heads * features, (i + 1) * heads * features));
      if (copied) qkv[i] = contiguous(qkv[i]);
    }
    return scaled_dot_product_attention(qkv[0], qkv[1], qkv[2], {}, {.is_causal = true});
  };
  const Tensor y = run(false), of_copies = run(true);
  CHECK(y.transpose(1, 2).is_contiguous());
  CHECK(of_copies.is_contiguous());
  CHECK_EQ(difference(to_array(y), to_array(of_copies), {0, 0}), "");
  const Tensor dy = Tensor::randn(y.shape());
  y.backward(dy);
  const Array there = to_array(projected.grad());
  Tensor(projected).zero_grad();
  of_copies.backward(dy);
  CHECK_EQ(difference(there, to_array(projected.grad()), {0, 0}), "");
}

TEST_CASE("keys and values are shared by heads that broadcast, and their gradients are sums") {
  manual_seed(3);
  compare({Tensor::randn({2, 3, 5, 4}), Tensor::randn({1, 6, 4}), Tensor::randn({2, 1, 6, 3})});
}

TEST_CASE("a query that sees no key gives zeros, and zero gradients") {
  manual_seed(4);
  const Tensor q = Tensor::randn({1, 1, 3, 4}).set_requires_grad(true),
               k = Tensor::randn({1, 1, 5, 4}).set_requires_grad(true),
               v = Tensor::randn({1, 1, 5, 2}).set_requires_grad(true);
  for (const Tensor& mask : {Tensor::zeros({3, 5}, {kBool}), Tensor::full({3, 5}, -INFINITY)}) {
    const Tensor y = scaled_dot_product_attention(q, k, v, mask);
    for (Tensor x : {q, k, v}) x.zero_grad();
    y.backward(Tensor::ones(y.shape()));
    for (const Tensor& x : {y, q.grad(), k.grad(), v.grad()}) {
      CHECK_EQ(difference(to_array(x), Array(x.shape()), {0, 0}), "");
    }
  }
}

TEST_CASE("attention refuses what does not fit, and says what") {
  const Tensor q = Tensor::ones({2, 3, 4, 5}), k = Tensor::ones({2, 3, 6, 5}), v = Tensor::ones({2, 3, 6, 7});
  CHECK_THROWS_WITH_AS(scaled_dot_product_attention(q, Tensor::ones({2, 3, 6, 4}), v),
                       doctest::Contains("query has shape [2, 3, 4, 5], key [2, 3, 6, 4]: their features differ"),
                       ShapeError);
  CHECK_THROWS_WITH_AS(scaled_dot_product_attention(q, k, Tensor::ones({2, 3, 5, 7})),
                       doctest::Contains("their lengths differ"), ShapeError);
  CHECK_THROWS_AS(scaled_dot_product_attention(q, Tensor::ones({2, 2, 6, 5}), v), ShapeError);
  CHECK_THROWS_AS(scaled_dot_product_attention(Tensor::ones({5}), k, v), ShapeError);
  CHECK_THROWS_AS(scaled_dot_product_attention(q, k.to(kFloat64), v), DTypeError);
  CHECK_THROWS_AS(scaled_dot_product_attention(q, k, v.to("meta")), DeviceError);
  CHECK_THROWS_AS(scaled_dot_product_attention(q, k, v, Tensor::ones({4, 5})), ShapeError);
  CHECK_THROWS_AS(scaled_dot_product_attention(q, k, v, Tensor::ones({1, 2, 3, 4, 6})), ShapeError);
  CHECK_THROWS_AS(scaled_dot_product_attention(q, k, v, Tensor::ones({4, 6}, {kFloat64})), DTypeError);
  CHECK_THROWS_WITH_AS(scaled_dot_product_attention(q, k, v, Tensor::ones({4, 6}).set_requires_grad(true)),
                       doctest::Contains("mask requires a gradient"), ArgumentError);
  CHECK_THROWS_WITH_AS(scaled_dot_product_attention(q, k, v, Tensor::ones({4, 6}), {.is_causal = true}),
                       doctest::Contains("a mask beside is_causal"), ArgumentError);
  CHECK_THROWS_AS(scaled_dot_product_attention(q, k, v, {}, {.dropout_p = 1.5}), ArgumentError);
}
