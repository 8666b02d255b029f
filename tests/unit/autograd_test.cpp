// Recording and the backward pass. Gradients of single ops are in tests/ops.
#include <doctest/doctest.h>

#include "autograd/grad_mode.h"
#include "autograd/gradcheck.h"
#include "autograd/meta.h"
#include "ops/ops.h"
#include "tests/sanitized.h"

using namespace rstorch;

namespace {

using Values = std::vector<double>;
Values values(const Tensor& x) { return x.to_vector<double>(); }
Tensor leaf(std::vector<float> x) {
  const auto n = int64_t(x.size());
  return Tensor::from(x, {n}).set_requires_grad(true);
}
template <class F>
std::string error_of(F f) {
  try {
    f();
  } catch (const AutogradError& error) {
    return error.what() + std::string(error.hint().empty() ? "" : " | " + error.hint());
  }
  return "";
}

}  // namespace

TEST_CASE("gradients accumulate over uses and over backward passes") {
  Tensor x = leaf({1, 2});
  const Tensor y = (x * x + x).sum();
  y.backward();
  CHECK_EQ(values(x.grad()), Values{3, 5});
  (x * 10).sum().backward();
  CHECK_EQ(values(x.grad()), Values{13, 15});
  x.zero_grad();
  CHECK_FALSE(x.grad().defined());
}

TEST_CASE("a gradient is never shared between leaves, nor with what the caller gave") {
  Tensor a = leaf({1, 2}), b = leaf({3, 4});
  const Tensor dy = Tensor::from({1.f, 1.f});
  (a + b).backward(dy);
  const Tensor kept = a.grad();
  (a + b).backward(dy);
  CHECK_EQ(values(kept), Values{2, 2});
  CHECK_EQ(values(b.grad()), Values{2, 2});
  CHECK_EQ(values(dy), Values{1, 1});
  Tensor c = leaf({5});
  (c + c).backward(Tensor::from({1.f}));
  CHECK_EQ(values(c.grad()), Values{2});
}

TEST_CASE("nothing is recorded without need") {
  Tensor x = leaf({1});
  {
    const NoGrad no_grad;
    CHECK_FALSE((x * 2).requires_grad());
    const EnableGrad enabled;
    CHECK((x * 2).requires_grad());
  }
  CHECK_FALSE((x.detach() * 2).requires_grad());
  CHECK_FALSE(gt(x, 0).requires_grad());
  CHECK_FALSE(argmax(x, 0).requires_grad());
  CHECK_FALSE((x * 2).is_leaf());
  CHECK_NE(error_of([] { Tensor::ones({1}).backward(); }), "");
  CHECK_NE(error_of([&] { (x * 2).set_requires_grad(true); }), "");
  CHECK_NE(error_of([] { Tensor::arange(3).set_requires_grad(true); }), "");
}

TEST_CASE("the graph is gone after a backward pass, unless it is kept") {
  const Tensor x = leaf({2});
  const Tensor y = x * x;
  y.backward({}, /*retain_graph=*/true);
  y.backward();
  CHECK_EQ(values(x.grad()), Values{8});
  CHECK_EQ(error_of([&] { y.backward(); }),
           "mul: backward ran through this graph before and its saved tensors are gone | pass retain_graph = true to "
           "the first "
           "backward, or run the forward pass again");
}

TEST_CASE("the gradient to begin with must fit") {
  const Tensor x = leaf({1, 2});
  CHECK_NE(error_of([&] { (x * 2).backward(); }), "");
  CHECK_NE(error_of([&] { (x * 2).backward(Tensor::ones({3})); }), "");
  CHECK_NE(error_of([&] { (x * 2).backward(Tensor::ones({2}, {kFloat64})); }), "");
}

TEST_CASE("saved tensors that were written in place are found") {
  const Tensor x = leaf({1, 2});
  Tensor y = x * 3;
  const Tensor z = y * y;
  y.add_(1);
  CHECK_EQ(error_of([&] { z.sum().backward(); }),
           "mul: a tensor of shape [2] that its gradient needs was changed in place (1 times) after mul ran | use the "
           "out-of-place form, or clone() before the in-place write");
  // add keeps nothing, so it may.
  Tensor a = x * 3;
  const Tensor b = a + 1;
  a.mul_(2);
  b.sum().backward();
  CHECK_EQ(values(x.grad()), Values{3, 3});
}

TEST_CASE("in-place writes are recorded") {
  const Tensor x = leaf({1, 2}), w = leaf({3, 4});
  Tensor y = x * 2;
  y.mul_(w);
  y.add_(x, 0.5);
  y.sum().backward();
  CHECK_EQ(values(x.grad()), Values{6.5, 8.5});
  CHECK_EQ(values(w.grad()), Values{2, 4});

  Tensor filled = x * 2;
  filled.fill_(7);
  CHECK_NE(filled.requires_grad(), false);
  Tensor target = Tensor::zeros({2, 2});
  target.copy_(x * 5);
  target.sum().backward();
  CHECK_EQ(values(x.grad()), Values{16.5, 18.5});

  const auto in_place = [](const std::vector<Tensor>& in) {
    Tensor y = in[0] * 2;
    y.div_(in[1]);
    y.sub_(in[0], 3);
    y.mul_(y);
    return y;
  };
  const Tensor a = Tensor::from<double>({0.5, 1.5, -2}, {3}).set_requires_grad(true);
  const Tensor b = Tensor::from<double>({1.25, -0.75, 2}, {3}).set_requires_grad(true);
  CHECK_EQ(gradcheck(in_place, {a, b}).message, "");
}

TEST_CASE("in-place writes that would break gradients are refused") {
  Tensor x = leaf({1, 2});
  CHECK_NE(error_of([&] { x.add_(1); }), "");
  CHECK_NE(error_of([&] { x.fill_(1); }), "");
  {
    const NoGrad no_grad;
    x.add_(1);
  }
  CHECK_EQ(values(x), Values{2, 3});
  Tensor y = x * 2;
  const Tensor row = y.slice(0, 0, 1);
  CHECK_NE(error_of([&] { y.mul_(2); }), "");
  CHECK_NE(error_of([&] { Tensor(row).mul_(2); }), "");
  // Through a view of memory that had no gradient: the base would not know of it.
  const Tensor base = Tensor::zeros({2}), part = base.narrow(0, 0, 1);
  CHECK_NE(error_of([&] { Tensor(part).copy_(leaf({2})); }), "");
  Tensor(part).copy_(Tensor::ones({1}));
  CHECK_EQ(values(base), Values{1, 0});
}

TEST_CASE("hooks see and replace gradients") {
  Tensor x = leaf({1, 2});
  int calls = 0;
  x.register_hook([&](const Tensor& g) {
    ++calls;
    return g * 10;
  });
  Tensor seen;
  x.register_post_accumulate_grad_hook([&](const Tensor& leaf) { seen = leaf.grad(); });
  const Tensor y = x * 3;
  y.register_hook([&](const Tensor& g) {
    CHECK_EQ(values(g), Values{2, 2});
    return Tensor();
  });
  (y * 2).sum().backward();
  CHECK_EQ(calls, 1);
  CHECK_EQ(values(x.grad()), Values{60, 60});
  CHECK(seen.is_same(x.grad()));
  CHECK_NE(error_of([] { Tensor::ones({1}).register_hook([](const Tensor&) { return Tensor(); }); }), "");
  CHECK_NE(error_of([&] { y.register_post_accumulate_grad_hook([](const Tensor&) {}); }), "");
}

TEST_CASE("the hooks of a leaf run once, with its complete gradient") {
  Tensor x = leaf({1, 2});
  int hooks = 0, posts = 0;
  x.register_hook([&](const Tensor& g) {
    ++hooks;
    return clamp(g, {}, 1);
  });
  x.register_post_accumulate_grad_hook([&](const Tensor& leaf) {
    ++posts;
    CHECK_EQ(values(leaf.grad()), Values{1, 1});
  });
  (x * 3 + x * 5 + x * x).sum().backward();
  CHECK_EQ(hooks, 1);
  CHECK_EQ(posts, 1);
  CHECK_EQ(values(x.grad()), Values{1, 1});

  // Where the first of several gradients was written straight into the leaf's own place.
  Tensor weight = Tensor::zeros({3, 2}).set_requires_grad(true);
  const Tensor place = Tensor::full({3, 2}, -1.0);
  autograd_meta(weight).grad_buffer = place;
  const auto rows = Tensor::from<int64_t>({2, 0, 2});
  (embedding(rows, weight) + embedding(rows, weight) * 10).sum().backward();
  CHECK_EQ(values(place), Values{11, 11, 0, 0, 22, 22});
  (embedding(rows, weight)).sum().backward();
  CHECK_EQ(values(place), Values{12, 12, 0, 0, 24, 24});
}

TEST_CASE("what a hook returns must be like the gradient") {
  const auto error_with = [](const std::function<Tensor(const Tensor&)>& hook) {
    return error_of([&] {
      Tensor x = leaf({1, 2, 3});
      x.register_hook(hook);
      (x * 2).sum().backward();
    });
  };
  CHECK_EQ(error_with([](const Tensor& g) { return g.to(DType::f64); }),
           "a gradient hook returned f64 [3] on cpu, the gradient is f32 [3] on cpu");
  CHECK_NE(error_with([](const Tensor& g) { return g.sum(); }), "");
  CHECK_NE(error_with([](const Tensor& g) { return g.to("meta"); }), "");
  CHECK_EQ(error_with([](const Tensor& g) { return g * 2; }), "");
}

TEST_CASE("gradients are written where the arena wants them") {
  Tensor x = leaf({1, 2, 3});
  const Tensor arena = Tensor::full({5}, -1.0);
  const Tensor slot = arena.alias({3}, {1}, 1);
  autograd_meta(x).grad_buffer = slot;
  (x * x).sum().backward();
  CHECK(x.grad().is_same(slot));
  CHECK_EQ(values(arena), Values{-1, 2, 4, 6, -1});
  (x * x).sum().backward();
  CHECK_EQ(values(arena), Values{-1, 4, 8, 12, -1});
  x.zero_grad();
  (x * 2).sum().backward();
  CHECK_EQ(values(arena), Values{-1, 2, 2, 2, -1});
  // An op that asks for the place writes there at once: the rows of an embedding.
  Tensor weight = Tensor::zeros({3, 2}).set_requires_grad(true);
  const Tensor rows = Tensor::full({3, 2}, -1.0);
  autograd_meta(weight).grad_buffer = rows;
  embedding(Tensor::from<int64_t>({2, 0, 2}), weight).sum().backward();
  CHECK(weight.grad().is_same(rows));
  CHECK_EQ(values(rows), Values{1, 1, 0, 0, 2, 2});
}

TEST_CASE("a chain of a million operations") {
  const Tensor x = leaf({1});
  Tensor y = x;
  const auto length = int(1'000'000 / kSlowdown);  // far more than a stack has room for, all the same
  for (int i = 0; i < length; ++i) y = y + 1;
  CHECK_EQ(y.item(), length + 1);
  y.backward({}, /*retain_graph=*/true);
  CHECK_EQ(values(x.grad()), Values{1});
  y = {};  // destroys the chain
  Tensor unused = x;
  for (int i = 0; i < length; ++i) unused = unused * 1;
}

TEST_CASE("a wide graph runs each node once") {
  const Tensor x = leaf({1});
  Tensor y = x * 1;
  for (int i = 0; i < 40; ++i) y = y + y;  // 2^40 paths
  y.backward();
  CHECK_EQ(values(x.grad())[0], double(int64_t(1) << 40));
}

TEST_CASE("a backward function that throws leaves the graph usable") {
  const Tensor x = leaf({2});
  const Tensor y = x * x;
  bool fails = true;
  y.register_hook([&](const Tensor&) -> Tensor {
    if (fails) throw ArgumentError("hook");
    return {};
  });
  const Tensor z = y * 3;
  CHECK_THROWS_AS(z.backward({}, true), ArgumentError);
  fails = false;
  z.backward({}, true);
  CHECK_EQ(values(x.grad()), Values{12});
}

TEST_CASE("gradcheck finds a wrong gradient") {
  const auto half_right = [](const std::vector<Tensor>& in) {
    const Tensor y = in[0] * in[0];
    if (y.requires_grad()) y.register_hook([](const Tensor& g) { return g * 1.01; });
    return y;
  };
  const Tensor x = Tensor::from<double>({1, 2}, {2}).set_requires_grad(true);
  CHECK_FALSE(gradcheck(half_right, {x}).ok);
  CHECK(gradcheck([](const std::vector<Tensor>& in) { return in[0] * in[0]; }, {x}).ok);
}
