// Reading and adding at indices on CUDA against the CPU's: sums of floats to the bit, for they have one order.
#include "kernels/indexing.h"

#include <functional>

#include <doctest/doctest.h>

#include "base/error.h"
#include "compare.h"
#include "tensor/generator.h"
#include "tensor/runtime.h"

using namespace rstorch;
using namespace rstorch::testing;

namespace {

const std::vector<DType> kFloatTypes = {kFloat32, kFloat64, kBFloat16, kFloat16};
constexpr DType kAllTypes[] = {kFloat32, kFloat64, kBFloat16, kFloat16, kInt64, kInt32, kUInt8, kBool};

void check_equal(const Tensor& cuda, const Tensor& cpu, const std::string& what) {
  REQUIRE(cuda.dtype() == cpu.dtype());
  CHECK_MESSAGE(cuda.to("cpu").to_vector<double>() == cpu.to_vector<double>(), what);
}

bool is_half(DType dtype) { return dtype == kBFloat16 || dtype == kFloat16; }

// How sums of halves are rounded: after each addition as on the CPU, or once, as what the CPU gives in f32.
enum class Rounding { each, once };

template <class F>
void compare_sums(DType dtype, Rounding rounding, const std::string& what, const F& add) {
  const DType there = is_half(dtype) && rounding == Rounding::once ? kFloat32 : dtype;
  const Tensor cuda = add(Device("cuda"), dtype);
  check_equal(cuda, add(kCPU, there).to(dtype), format("{} {}", what, name_of(dtype)));
  if (dtype == kFloat32)
    check_equal(add(Device("cuda"), dtype), cuda.to("cpu"), format("{} {}, again", what, name_of(dtype)));
}

// Indices below `size`. Of a skewed one, every second is the same.
enum class Spread { even, skewed };
Tensor random_index(const Shape& shape, int64_t size, Spread spread = Spread::even) {
  std::vector<int64_t> values = Tensor::randint(0, size, shape).to_vector<int64_t>();
  for (size_t i = 0; spread == Spread::skewed && i < values.size(); i += 2) values[i] = size / 2;
  return Tensor::from(values, shape);
}

// A tensor that halves hold exactly.
Tensor coarse(const Shape& shape) { return Tensor::randn(shape).to(kBFloat16).to(kFloat16).to(kFloat32); }

void compare_index_add(const std::vector<DType>& dtypes, int64_t outer, int64_t size, int64_t count, int64_t inner,
                       Spread spread) {
  const Tensor dy = coarse({outer, count, inner}), dx = coarse({outer, size, inner});
  const Tensor index = random_index({count}, size, spread);
  for (const DType dtype : dtypes) {
    compare_sums(dtype, Rounding::once, format("index_add of {} to {} x {} x {}", count, outer, size, inner),
                 [&](Device device, DType type) {
                   Tensor sum = dx.to(type).to(device).clone();
                   kernels::index_add(current_stream(device), dy.to(type).to(device).view(), index.to(device).view(),
                                      sum.mutable_view());
                   return sum;
                 });
  }
}

void compare_scatter_add(const std::vector<DType>& dtypes, const Tensor& dy, int dim, const Tensor& index,
                         const Tensor& dx, Rounding rounding, const std::string& what) {
  for (const DType dtype : dtypes) {
    compare_sums(dtype, rounding, "scatter_add " + what, [&](Device device, DType type) {
      Tensor sum = dx.to(type).to(device).clone();
      kernels::scatter_add(current_stream(device), dy.to(type).to(device).view(), dim, index.to(device).view(),
                           sum.mutable_view());
      return sum;
    });
  }
}

std::string message_of(const std::function<void()>& f) {
  try {
    f();
    current_stream(Device("cuda")).synchronize();
  } catch (const ArgumentError& e) {
    return e.what();
  }
  return "nothing was thrown";
}

}  // namespace

TEST_CASE("index_select on cuda and cpu") {
  manual_seed(6);
  for (const DType dtype : kAllTypes) {
    for (const int64_t inner : {1, 3, 16, 50}) {
      for (const int64_t outer : {1, 4}) {
        const Tensor x = numbers(dtype, {outer, 37, inner}), index = random_index({300}, 37);
        const auto select = [&](Device device, const Tensor& from) {
          Tensor y = Tensor::empty({outer, 300, inner}, {dtype, device});
          kernels::index_select(current_stream(device), from.view(), index.to(device).view(), y.mutable_view());
          return y;
        };
        check_equal(select("cuda", x.to("cuda")), select(kCPU, x), format("{} {}", name_of(dtype), inner));
      }
    }
  }
}

TEST_CASE("index_add on cuda gives the CPU's bits") {
  manual_seed(7);
  for (const Spread spread : {Spread::even, Spread::skewed}) {
    for (const int64_t count : {1, 7, 300}) {
      compare_index_add(kFloatTypes, 1, 65, count, 8, spread);   // packs of every dtype
      compare_index_add(kFloatTypes, 3, 300, count, 5, spread);  // of none
    }
    for (const int64_t count : {1024, 1025, 5000}) {
      // keys of one digit, of two, and of three, the highest of which is 0 or 1
      for (const int64_t size : {65, 300, 70000}) compare_index_add({kFloat32}, 1, size, count, 2, spread);
    }
  }
  compare_index_add(kFloatTypes, 1, 1, 3000, 16, Spread::even);  // all in one run
}

TEST_CASE("gather on cuda and cpu") {
  manual_seed(8);
  for (const DType dtype : kAllTypes) {
    const Tensor x = numbers(dtype, {6, 7, 8});
    for (const int dim : {0, 1, 2}) {
      Shape shape = {5, 6, 7};
      shape[dim] = 11;
      const Tensor index = random_index(shape, x.shape()[dim]);
      const Tensor on_cuda = x.to("cuda"), index_cuda = index.to("cuda");
      check_equal(gather(on_cuda, dim, index_cuda), gather(x, dim, index), format("{} {}", name_of(dtype), dim));
      const Tensor turned = x.transpose(0, 2).slice(0, 0, 8), turned_cuda = on_cuda.transpose(0, 2).slice(0, 0, 8);
      const Tensor few = index.slice(0, 0, 3).slice(1, 0, 3).slice(2, 0, 3).to(kInt64);
      const Tensor low = where(lt(few, 6), few, Tensor::zeros(few.shape(), {kInt64}));
      check_equal(gather(turned_cuda, dim, low.to("cuda")), gather(turned, dim, low),
                  format("transposed {} {}", name_of(dtype), dim));
    }
  }
}

TEST_CASE("scatter_add on cuda gives the CPU's bits") {
  manual_seed(9);
  for (const int dim : {0, 1, 2}) {
    for (const int64_t length : {1, 5, 64, 65, 700}) {
      Shape shape = {3, 4, 5};
      shape[dim] = length;
      Shape wide = {4, 5, 6};
      wide[dim] = 9;
      const Tensor index = random_index(shape, 9, Spread::skewed), dy = coarse(shape), dx = coarse(wide);
      const std::string what = format("{} along {}", length, dim);
      const Rounding rounding = length > 64 ? Rounding::once : Rounding::each;
      compare_scatter_add(kFloatTypes, dy, dim, index, dx, rounding, what);
      compare_scatter_add(kFloatTypes, coarse({1, 1, 1}).expand(shape), dim, index, dx, rounding, what + ", broadcast");
    }
  }
  compare_scatter_add(kFloatTypes, coarse({20000}), 0, random_index({20000}, 500), coarse({500}), Rounding::once,
                      "one line");
  compare_scatter_add(kFloatTypes, coarse({}), 0, Tensor::zeros({}, {kInt64}), coarse({}), Rounding::each,
                      "no dimensions");
  // more lines than are sorted
  compare_scatter_add({kFloat32}, coarse({66, 128, 130}), 0, random_index({66, 128, 130}, 3), coarse({3, 128, 130}),
                      Rounding::each, "many lines");
}

TEST_CASE("an index out of range on cuda is an error, and other elements are right") {
  const Tensor x = Tensor::ones({1, 4, 3}, {kFloat32, "cuda"});
  const Tensor index = Tensor::from<int64_t>({1, 4, 2}).to("cuda");
  Tensor y = Tensor::zeros({1, 3, 3}, {kFloat32, "cuda"});
  Stream& stream = current_stream(Device("cuda"));
  const auto says = [](const std::string& message, const std::string& part) {
    CHECK_MESSAGE(message.find(part) != std::string::npos, message);
  };
  says(message_of([&] { kernels::index_select(stream, x.view(), index.view(), y.mutable_view()); }),
       "index_select: index 4 is out of range for a dimension of size 4");
  CHECK(y.to("cpu").to_vector<double>() == std::vector<double>{1, 1, 1, 0, 0, 0, 1, 1, 1});

  Tensor sum = Tensor::zeros({1, 4, 3}, {kFloat32, "cuda"});
  const Tensor dy = Tensor::ones({1, 3, 3}, {kFloat32, "cuda"});
  says(message_of([&] { kernels::index_add(stream, dy.view(), index.view(), sum.mutable_view()); }),
       "index_add: index 4");
  CHECK(sum.to("cpu").to_vector<double>() == std::vector<double>{0, 0, 0, 1, 1, 1, 1, 1, 1, 0, 0, 0});

  const Tensor line = Tensor::ones({4}, {kFloat32, "cuda"});
  const Tensor negative = Tensor::from<int64_t>({1, -1, 2}).to("cuda");
  says(message_of([&] { gather(line, 0, negative); }), "gather: index -1");

  for (const int64_t length : {10, 100}) {  // added by lines, and sorted
    std::vector<int64_t> to(size_t(length), 1);
    to[5] = 2;
    const Tensor ones = Tensor::ones({length}, {kFloat32, "cuda"});
    Tensor into = Tensor::zeros({2}, {kFloat32, "cuda"});
    says(message_of([&] {
           kernels::scatter_add(stream, ones.view(), 0, Tensor::from(to, {length}).to("cuda").view(),
                                into.mutable_view());
         }),
         "scatter_add: index 2");
    CHECK(into.to("cpu").to_vector<double>() == std::vector<double>{0, double(length - 1)});
  }
}
