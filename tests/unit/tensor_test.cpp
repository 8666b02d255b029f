// Tensors: factories, views and what they share, in-place writes, indexing, random numbers, printing, errors. What ops
// compute is in tests/ops.
#include <cmath>
#include <numeric>
#include <sstream>

#include <doctest/doctest.h>

#include "kernels/random.h"
#include "ops/ops.h"
#include "tensor/generator.h"
#include "tensor/runtime.h"

using namespace rstorch;

namespace {

std::vector<double> values(const Tensor& x) { return x.to_vector<double>(); }
using Values = std::vector<double>;

// The message and the hint of the Error that f throws; empty if it throws none.
template <class F>
std::string error_of(F f) {
  try {
    f();
  } catch (const Error& error) {
    return error.what() + (error.hint().empty() ? "" : " | " + error.hint());
  }
  return "";
}

}  // namespace

TEST_CASE("comparisons with numbers, of any kind") {
  const Tensor x = Tensor::from({-1.0, 0.0, 2.5}), n = Tensor::arange(3);
  CHECK((x == 0).to_vector<int64_t>() == std::vector<int64_t>{0, 1, 0});
  CHECK((x != 0).to_vector<int64_t>() == std::vector<int64_t>{1, 0, 1});
  CHECK((x < 2.5).to_vector<int64_t>() == std::vector<int64_t>{1, 1, 0});
  CHECK((x <= 2.5).to_vector<int64_t>() == std::vector<int64_t>{1, 1, 1});
  CHECK((x > -1).to_vector<int64_t>() == std::vector<int64_t>{0, 1, 1});
  CHECK((x >= 0.0).to_vector<int64_t>() == std::vector<int64_t>{0, 1, 1});
  CHECK((n > 0.5).to_vector<int64_t>() == std::vector<int64_t>{0, 1, 1});  // not cut to an integer
}

TEST_CASE("factories") {
  CHECK_EQ(values(Tensor::zeros({2, 2})), Values{0, 0, 0, 0});
  CHECK_EQ(values(Tensor::full({2}, 7, {kInt64})), Values{7, 7});
  CHECK_EQ(values(Tensor::arange(5)), Values{0, 1, 2, 3, 4});
  CHECK_EQ(Tensor::arange(5).dtype(), kInt64);
  CHECK_EQ(values(Tensor::arange(1.0, 2.0, 0.25)), Values{1, 1.25, 1.5, 1.75});
  CHECK_EQ(values(Tensor::arange(3, 0, -1)), Values{3, 2, 1});
  CHECK_EQ(values(Tensor::linspace(0, 1, 5)), Values{0, 0.25, 0.5, 0.75, 1});
  CHECK_EQ(values(Tensor::eye(2)), Values{1, 0, 0, 1});
  CHECK_EQ(Tensor::from({1.5f, 2.5f}).dtype(), kFloat32);
  CHECK_EQ(Tensor::from({true, false}).dtype(), kBool);
  CHECK_EQ(values(Tensor::from<int64_t>({1, 2}, {2, 1}, {kFloat16})), Values{1, 2});
  CHECK_EQ(Tensor::scalar(3).dim(), 0);
  CHECK_EQ(Tensor::scalar(2.5).item(), 2.5);
  CHECK_EQ(Tensor::ones({3}, {.requires_grad = true}).requires_grad(), true);
  CHECK_NE(error_of([] { Tensor::zeros({2, -1}); }), "");
  CHECK_NE(error_of([] { Tensor::ones({2}, {kInt64, kCPU, true}); }), "");
  CHECK_NE(error_of([] { Tensor::from<float>({1, 2, 3}, {2, 2}); }), "");
  CHECK_NE(error_of([] { Tensor::arange(0, 5, 0); }), "");
  CHECK_NE(error_of([] { Tensor::rand({2}, {kInt64}); }), "");
}

TEST_CASE("views share memory, copies do not") {
  const Tensor x = Tensor::arange(12).reshape({3, 4});
  Tensor row = x[1];
  row.fill_(0);
  CHECK_EQ(values(x), Values{0, 1, 2, 3, 0, 0, 0, 0, 8, 9, 10, 11});
  x.t().slice(0, 0, 4, 2).fill_(-1);
  CHECK_EQ(values(x), Values{-1, 1, -1, 3, -1, 0, -1, 0, -1, 9, -1, 11});
  const Tensor copy = x.clone();
  x.view({12}).fill_(5);
  CHECK_EQ(values(copy)[3], 3);
  CHECK(x.contiguous().is_same(x));
  CHECK_FALSE(x.t().contiguous().is_same(x));
  CHECK(x.to(kInt64).is_same(x));
  CHECK_EQ(x.expand({2, 3, 4}).strides().text(), "[0, 4, 1]");
  CHECK_EQ(x.t().reshape({12}).is_contiguous(), true);
}

TEST_CASE("reshape keeps views where strides allow") {
  const Tensor x = Tensor::arange(24).reshape({2, 3, 4});
  const auto shares = [&](const Tensor& y) { return y.impl()->storage == x.impl()->storage; };
  CHECK(shares(x.transpose(0, 1).reshape({3, 2, 2, 2})));
  CHECK_FALSE(shares(x.transpose(0, 1).reshape({6, 4})));
  CHECK(shares(x.slice(2, 0, 4, 2).reshape({6, 2})));
  CHECK_FALSE(shares(x.slice(1, 0, 2).reshape({16})));
  CHECK_EQ(values(x.slice(1, 0, 2).reshape({2, -1})[1]), Values{12, 13, 14, 15, 16, 17, 18, 19});
  CHECK_EQ(values(x.permute({2, 0, 1}).reshape({4, 6})[1]), Values{1, 5, 9, 13, 17, 21});
  CHECK_EQ(x.slice(1, 0, 1).transpose(0, 1).reshape({2, 4}).shape().text(), "[2, 4]");
  CHECK_EQ(Tensor::zeros({0, 3}).reshape({3, 0}).shape().text(), "[3, 0]");
}

TEST_CASE("slices follow Python's rules") {
  const Tensor x = Tensor::arange(6);
  CHECK_EQ(values(x.slice(0, 1, 3)), Values{1, 2});
  CHECK_EQ(values(x.slice(0, -2, 100)), Values{4, 5});
  CHECK_EQ(values(x.slice(0, -100, 2)), Values{0, 1});
  CHECK_EQ(values(x.slice(0, 0, 6, 4)), Values{0, 4});
  CHECK_EQ(x.slice(0, 4, 2).numel(), 0);
  CHECK_EQ(values(x.narrow(0, -2, 2)), Values{4, 5});
  CHECK_EQ(x[-1].item<int64_t>(), 5);
  const std::vector<Tensor> parts = x.split(4);
  CHECK_EQ(parts.size(), 2);
  CHECK_EQ(values(parts[1]), Values{4, 5});
}

TEST_CASE("shape errors say what was given and what was wanted") {
  const Tensor x = Tensor::zeros({2, 3});
  const std::pair<const char*, std::function<void()>> cases[] = {
      {"reshape: a tensor of shape [2, 3], which has 6 elements, does not fit the shape [4, -1]",
       [&] {
         x.reshape({4, -1});
       }},
      {"reshape: the shape [-1, -1] has a negative size | one size may be -1",
       [&] {
         x.reshape({-1, -1});
       }},
      {"view: a tensor of shape [3, 2] and strides [1, 3] cannot be seen as [6] without a copy | use reshape",
       [&] { x.t().view({6}); }},
      {"transpose: dim1 is 2, the tensor has shape [2, 3] | dimensions are -2 to 1", [&] { x.transpose(0, 2); }},
      {"permute: dimension 0 is named twice",
       [&] {
         x.permute({0, 0});
       }},
      {"expand: a tensor of shape [2, 3] cannot be expanded to [4, 3] | only dimensions of size 1 and new ones in "
       "front can be "
       "repeated; -1 keeps a size",
       [&] {
         x.expand({4, 3});
       }},
      {"select: index 2 is out of range for dimension 0 of size 2", [&] { x[2]; }},
      {"add: shapes [2, 3] and [2] do not broadcast: dimension 1 from the end is 3 and 2 | sizes must be equal, or one "
       "of them 1",
       [&] { x + Tensor::zeros({2}); }},
      {"cat: tensor 1 has shape [3, 3], the first [2, 3] | all sizes but those of dimension 1 must be equal",
       [&] {
         cat({x, Tensor::zeros({3, 3})}, 1);
       }},
      {"index_select: index 3 is out of range for a dimension of size 3 | indices go from 0 to size - 1; they do not "
       "count from "
       "the end",
       [&] {
         x.index_select(1, Tensor::from<int64_t>({0, 3}));
       }},
      {"sum: a dimension is named twice",
       [&] {
         x.sum({0, -2});
       }},
      {"amax: a tensor of shape [0] has no element to choose from", [&] { Tensor::zeros({0}).max(); }},
      {"item: the tensor has shape [2, 3], wanted one element | use to_vector() for many", [&] { x.item(); }},
      {"data: the tensor is f32, asked for f64 | convert with to(dtype)", [&] { x.data<double>(); }},
  };
  for (const auto& [wanted, call] : cases) CHECK_EQ(error_of(call), wanted);
}

TEST_CASE("sizes that no kernel could take are refused") {
  // Both taps of the window lie in the padding.
  CHECK_THROWS_AS(max_pool2d(Tensor::ones({1, 1, 1, 1}), {.kernel_size = {2, 2}, .stride = {1, 1}, .padding = {1, 1}, .dilation = {2, 2}}),
                  ShapeError);
  CHECK_THROWS_AS(conv2d(Tensor::ones({1, 1, 3, 3}), Tensor::ones({0, 1, 2, 2}), {}, {}), ShapeError);
  CHECK_THROWS_AS(Tensor::empty({int64_t(1) << 32, int64_t(1) << 32}), OutOfMemoryError);
  CHECK_THROWS_AS(Tensor::empty({int64_t(1) << 61, 2}), OutOfMemoryError);
}

TEST_CASE("integers wrap around") {
  const Tensor x = Tensor::full({2}, int64_t(1) << 62, {.dtype = DType::i64});
  CHECK(x.sum().to_vector<int64_t>()[0] == std::numeric_limits<int64_t>::min());
  CHECK((x + x).to_vector<int64_t>()[0] == std::numeric_limits<int64_t>::min());
}

TEST_CASE("alpha: exact for integers, which wrap around, and of the kind of the result") {
  const auto full = [](int64_t value, DType dtype) { return Tensor::full({1}, value, {dtype}); };
  const auto value = [](const Tensor& x) { return x.item<int64_t>(); };
  const int64_t odd = (int64_t(1) << 53) + 1;  // no double is this number
  CHECK_EQ(value(add(full(1, kInt64), full(1, kInt64), odd)), odd + 1);
  CHECK_EQ(value(sub(full(1, kInt64), full(1, kInt64), odd)), -(odd - 1));
  CHECK_EQ(value(sub(full(0, kInt64), full(1, kInt64), std::numeric_limits<int64_t>::min())),
           std::numeric_limits<int64_t>::min());
  CHECK_EQ(value(sub(full(1, kUInt8), full(1, kUInt8), 2)), 255);
  CHECK_EQ(value(add(full(200, kUInt8), full(100, kUInt8), 3)), (200 + 3 * 100) % 256);
  CHECK_EQ(value(add(full(5, kUInt8), full(3, kUInt8), -2)), 255);
  CHECK_EQ(value(add(full(0, kInt32), full(1 << 30, kInt32), 2)), std::numeric_limits<int32_t>::min());
  CHECK_EQ(value(add(full(1, kInt32), full(1, kBool), 3)), 4);
  CHECK_EQ(add(full(1, kInt32), full(1, kInt64), 3).dtype(), kInt64);
  CHECK_EQ(value(full(1, kInt64).add_(full(1, kInt64), odd)), odd + 1);
  CHECK_EQ(value(full(1, kInt64).sub_(full(1, kInt32), odd)), -(odd - 1));
  CHECK_EQ(value(full(1, kUInt8).sub_(full(1, kUInt8), 2)), 255);
  Tensor overlapping = Tensor::arange(4);
  overlapping.slice(0, 1, 4).add_(overlapping.slice(0, 0, 3), 10);
  CHECK_EQ(values(overlapping), Values{0, 1, 12, 23});
  CHECK_EQ(value(add(full(0, kBool), full(1, kBool), true)), 1);
  CHECK_EQ(value(add(full(0, kBool), full(1, kBool), false)), 0);
  CHECK_EQ(value(add(full(0, kBool), full(1, kBool), 256)), 1);
  CHECK_EQ(values(add(Tensor::ones({2}), full(1, kInt64), 0.5)), Values{1.5, 1.5});

  for (const double alpha : {0.5, 1.0}) {
    const auto refusal = [](std::string_view op, std::string_view dtype) {
      return format("{}: alpha is a floating number, the result is {} | give an integer, or convert with to(kFloat32)",
                    op, dtype);
    };
    CHECK_EQ(error_of([&] { add(full(1, kInt64), full(1, kInt32), alpha); }), refusal("add", "i64"));
    CHECK_EQ(error_of([&] { sub(full(1, kUInt8), full(1, kUInt8), alpha); }), refusal("sub", "u8"));
    CHECK_EQ(error_of([&] { add(full(1, kBool), full(1, kBool), alpha); }), refusal("add", "bool"));
    CHECK_EQ(error_of([&] { full(1, kInt32).add_(full(1, kInt32), alpha); }), refusal("add_", "i32"));
    CHECK_EQ(error_of([&] { full(1, kInt32).sub_(full(1, kInt32), alpha); }), refusal("sub_", "i32"));
  }
  CHECK_EQ(error_of([&] { add(full(1, kInt64), full(1, kInt64), true); }),
           "add: alpha is a bool, the result is i64 | give a number");
  CHECK_EQ(error_of([&] { Tensor::ones({1}).add_(Tensor::ones({1}), true); }),
           "add_: alpha is a bool, the result is f32 | give a number");
  CHECK_EQ(error_of([&] { add(Tensor(), Tensor::ones({1}), 2); }), "add: a is an undefined tensor");
}

TEST_CASE("in-place writes") {
  Tensor x = Tensor::ones({2, 3});
  x += Tensor::from({1.f, 2.f, 3.f});
  CHECK_EQ(values(x), Values{2, 3, 4, 2, 3, 4});
  x.add_(Tensor::ones({2, 3}), -2);
  x.mul_(2).div_(Tensor::scalar(4));
  CHECK_EQ(values(x), Values{0, 0.5, 1, 0, 0.5, 1});
  Tensor half = Tensor::ones({2}, {kFloat16});
  half += Tensor::from({1.5f, 2.5f});
  CHECK_EQ(half.dtype(), kFloat16);
  CHECK_EQ(values(half), Values{2.5, 3.5});
  CHECK_EQ(error_of([] { Tensor::ones({2}, {kInt64}).add_(Tensor::ones({2})); }),
           "add_: the result is f32 and can't be cast to i64, the dtype of the tensor | use the out-of-place form");
  CHECK_EQ(error_of([] {
             Tensor::ones({3}).add_(Tensor::ones({2, 3}));
           }),
           "add_: the result has shape [2, 3], the tensor [3] | use the out-of-place form");
  // Operands that overlap the target in another order are read as they were before.
  Tensor y = Tensor::arange(5);
  y.slice(0, 1, 5).add_(y.slice(0, 0, 4));
  CHECK_EQ(values(y), Values{0, 1, 3, 5, 7});
  Tensor square = Tensor::arange(4).reshape({2, 2});
  square.add_(square.t());
  CHECK_EQ(values(square), Values{0, 3, 3, 6});
  y.copy_(Tensor::scalar(2.9));
  CHECK_EQ(values(y), Values{2, 2, 2, 2, 2});
}

TEST_CASE("a tensor whose elements share memory is not written in place") {
  const auto refusal = [](std::string_view op, std::string_view shape) {
    return format("{}: elements of the tensor, of shape {}, share one place in memory | clone() it first", op, shape);
  };
  const Tensor x = Tensor::zeros({1});
  CHECK_EQ(error_of([&] { x.expand({4}).add_(1); }), refusal("add_", "[4]"));
  CHECK_EQ(error_of([&] { x.expand({2, 4}).add_(Tensor::ones({4}), 2); }), refusal("add_", "[2, 4]"));
  CHECK_EQ(error_of([&] { x.expand({4}).sub_(Tensor::ones({4})); }), refusal("sub_", "[4]"));
  CHECK_EQ(error_of([&] { x.expand({4}).mul_(2); }), refusal("mul_", "[4]"));
  CHECK_EQ(error_of([&] { x.expand({4}).mul_(Tensor::ones({4})); }), refusal("mul_", "[4]"));
  CHECK_EQ(error_of([&] { x.expand({4}).div_(Tensor::ones({4})); }), refusal("div_", "[4]"));
  CHECK_EQ(error_of([&] { x.expand({4}).copy_(Tensor::ones({4})); }), refusal("copy_", "[4]"));
  CHECK_EQ(values(x), Values{0});
  x.expand({4}).fill_(3);  // one value for all: as in PyTorch
  CHECK_EQ(values(x), Values{3});
  x.expand({4}).zero_();
  CHECK_EQ(values(x), Values{0});
  // One element, or none, is no overlap; nor is an operand that is repeated.
  x.expand({1, 1}).add_(1);
  x.expand({4, 0}).add_(1);
  Tensor y = Tensor::ones({4});
  y.add_(x.expand({4}));
  CHECK_EQ(values(x), Values{1});
  CHECK_EQ(values(y), Values{2, 2, 2, 2});
}

TEST_CASE("elements convert between all dtypes, in any layout") {
  const DType dtypes[] = {kFloat32, kFloat64, kBFloat16, kFloat16, kInt64, kInt32, kUInt8, kBool};
  const Tensor x = Tensor::from<int64_t>({0, 1, 2, 100, 0, 7}, {2, 3});
  for (const DType from : dtypes) {
    for (const DType to : dtypes) {
      INFO(name_of(from), " to ", name_of(to));
      const bool as_bool = from == kBool || to == kBool;
      const Values wanted = as_bool ? Values{0, 1, 1, 1, 0, 1} : Values{0, 1, 2, 100, 0, 7};
      CHECK_EQ(values(x.to(from).to(to)), wanted);
      const Tensor t = x.to(from).t().to(to);
      CHECK_EQ(values(t.t()), wanted);
      CHECK_EQ(values(t)[1], wanted[3]);
    }
  }
}

TEST_CASE("large transposes and copies") {
  const Tensor x = Tensor::arange(70 * 90 * 3).reshape({70, 90, 3});
  const Tensor y = x.permute({2, 1, 0}).contiguous();
  const int64_t* const from = x.data<int64_t>();
  const int64_t* const to = y.data<int64_t>();
  bool equal = true;
  for (int64_t i = 0; i < 70; ++i) {
    for (int64_t j = 0; j < 90; ++j) {
      for (int64_t k = 0; k < 3; ++k) equal = equal && to[(k * 90 + j) * 70 + i] == from[(i * 90 + j) * 3 + k];
    }
  }
  CHECK(equal);
}

TEST_CASE("random tensors: seeded, and of the right distribution") {
  manual_seed(7);
  const Tensor a = Tensor::randn({1000, 101}), b = Tensor::randn({10});
  manual_seed(7);
  CHECK_EQ(values(Tensor::randn({1000, 101})), values(a));
  CHECK_EQ(values(Tensor::randn({10})), values(b));
  CHECK_LT(std::abs(a.mean().item()), 0.01);
  CHECK_EQ(a.var({}).item(), doctest::Approx(1).epsilon(0.01));
  const double fourth = (a * a * a * a).mean().item();
  CHECK_EQ(fourth, doctest::Approx(3).epsilon(0.05));
  CHECK_LT(std::abs((a.slice(1, 0, 100, 2) * a.slice(1, 1, 101, 2)).mean().item()), 0.01);  // of a pair, independent

  const Tensor u = Tensor::rand({100000});
  CHECK_EQ(u.mean().item(), doctest::Approx(0.5).epsilon(0.01));
  CHECK_GE(u.min().item(), 0);
  CHECK_LT(u.max().item(), 1);
  for (const DType dtype : {kFloat64, kFloat16, kBFloat16}) CHECK_LT(Tensor::rand({10000}, {dtype}).max().item(), 1);

  const Tensor dice = Tensor::randint(1, 7, {60000});
  for (int side = 1; side <= 6; ++side)
    CHECK_EQ(double(eq(dice, side).sum().item()), doctest::Approx(10000).epsilon(0.05));
}

TEST_CASE("random elements depend on their global index only") {
  for (const DType dtype : {kFloat32, kFloat64, kBFloat16}) {
    const auto normal = [&](uint64_t first, int64_t count) {
      const Tensor x = Tensor::empty({count}, {dtype});
      kernels::random_normal(current_stream(kCPU), {.seed = 3, .first = first}, 0.0, 1.0, x.mutable_view());
      return values(x);
    };
    const Values whole = normal(0, 300), tail = normal(131, 169);
    CHECK_EQ(Values(whole.begin() + 131, whole.end()), tail);
  }
}

TEST_CASE("meta tensors have shapes and no values") {
  const Tensor x = Tensor::empty({1000000, 1000000}, {kFloat32, kMeta});
  CHECK_EQ((x + 1).sum({0}).shape().text(), "[1000000]");
  CHECK_EQ(x.text(), "tensor(..., device='meta', size=(1000000, 1000000))");
  CHECK_NE(error_of([&] { x.sum().item(); }), "");
  CHECK_NE(error_of([&] { x.to("cpu"); }), "");
}

TEST_CASE("printing what the fixtures leave out") {
  std::ostringstream out;
  out << Tensor::arange(4).reshape({2, 2}).t();
  CHECK_EQ(out.str(), "tensor([[0, 2],\n        [1, 3]])");
  CHECK_EQ(Tensor().text(), "tensor(undefined)");
  CHECK_EQ(Tensor::ones({2}).expand({2, 2}).text(), "tensor([[1., 1.],\n        [1., 1.]])");
}

TEST_CASE("memory that cannot be had is an error that says how much") {
  const std::string message = error_of([] { Tensor::empty({int64_t(1) << 50}); });
  CHECK_NE(message.find("4194304.00 GiB"), std::string::npos);
}
