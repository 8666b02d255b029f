// The CUDA module's kernels against the CPU's.
#include <doctest/doctest.h>

#include "compare.h"
#include "kernels/elementwise.h"
#include "kernels/random.h"
#include "ops/ops.h"
#include "tensor/generator.h"
#include "tensor/runtime.h"

using namespace rstorch;
using namespace rstorch::testing;

namespace {

struct Layout {
  const char* name;
  Tensor (*of)(const Tensor&);  // of a tensor [12, 10, 33]
};
const Layout layouts[] = {
    {"contiguous", [](const Tensor& x) { return x; }},
    {"transposed", [](const Tensor& x) { return x.transpose(0, 2); }},
    {"sliced", [](const Tensor& x) { return x.slice(1, 1, 9, 2).slice(2, 3, 31); }},
    {"not aligned", [](const Tensor& x) { return x.flatten().slice(0, 1, 3000); }},
    {"broadcast",
     [](const Tensor& x) {
       return x.select(1, 0).unsqueeze(1).expand({12, 7, 33});
     }},
    {"one element", [](const Tensor& x) { return x.select(0, 1).select(0, 1).select(0, 1); }},
    {"one, broadcast",
     [](const Tensor& x) {
       return x.flatten().slice(0, 5, 6).expand({4, 100});
     }},
    {"empty", [](const Tensor& x) { return x.slice(0, 2, 2); }},
};

template <class F>
constexpr F op_with_parameters() {
  if constexpr (requires { F{-0.5, 0.5}; })
    return F{-0.5, 0.5};
  else if constexpr (requires { F{2.0}; })
    return F{2.0};
  else
    return F{};
}

// Runs kernel(f, inputs..., y) on both devices for every layout and compares.
template <class F, class... Views, class... Inputs>
void compare(const Kernel<F, Views..., View>& kernel, F f, DType y_dtype, const Inputs&... inputs) {
  for (const Layout& layout : layouts) {
    const auto run = [&](Device device) {
      const Shape shape = layout.of(std::get<0>(std::tie(inputs...))).shape();
      Tensor y = Tensor::empty(shape, {y_dtype, device});
      kernel(current_stream(device), f, layout.of(inputs.to(device)).view()..., y.mutable_view());
      return y;
    };
    const DType dtype = std::get<0>(std::tie(inputs...)).dtype();
    check_close(run("cuda"), run(kCPU), format("{} {} {}", kernel.name, name_of(dtype), layout.name));
  }
}

constexpr int64_t kSizes[] = {12, 10, 33};
Shape shape() { return Shape(std::span(kSizes)); }

template <class F>
void compare_unary() {
  const F f = op_with_parameters<F>();
  [&]<class... T>(TypeList<T...>) {
    for (const DType dtype : {dtype_of<T>()...}) {
      const bool gives_bool = std::is_same_v<decltype(f.value(1.0f)), bool>;
      compare<F, ConstView>(kernels::Unary<F>::forward, f, gives_bool ? kBool : dtype, numbers(dtype, shape()));
      if constexpr (kernels::HasSlope<F>) {
        if (!is_floating(dtype)) continue;
        compare<F, ConstView, ConstView>(kernels::Unary<F>::backward, f, dtype, numbers(dtype, shape()),
                                         numbers(dtype, shape()));
      }
    }
  }(typename F::Types{});
}

template <class F>
void compare_binary() {
  const F f = op_with_parameters<F>();
  [&]<class... T>(TypeList<T...>) {
    for (const DType dtype : {dtype_of<T>()...}) {
      const Tensor a = numbers(dtype, shape()), b = numbers(dtype, shape()), dy = numbers(dtype, shape());
      const bool gives_bool = std::is_same_v<decltype(f.value(1.0f, 1.0f)), bool>;
      using kernels::Binary, kernels::Operand;
      compare<F, Operand, Operand>(Binary<F>::forward, f, gives_bool ? kBool : dtype, a, b);
      if constexpr (kernels::HasSlopes<F>) {
        if (!is_floating(dtype)) continue;
        compare<F, Operand, Operand, ConstView>(Binary<F>::backward_a, f, dtype, a, b, dy);
        compare<F, Operand, Operand, ConstView>(Binary<F>::backward_b, f, dtype, a, b, dy);
      }
    }
  }(typename F::Types{});
}

}  // namespace

TEST_CASE("elementwise kernels on cuda and cpu") {
  manual_seed(1);
  [&]<class... F>(TypeList<F...>) { (compare_unary<F>(), ...); }(kernels::UnaryOps{});
  [&]<class... F>(TypeList<F...>) { (compare_binary<F>(), ...); }(kernels::BinaryOps{});
}

TEST_CASE("numbers as operands on cuda and cpu") {
  for (const DType dtype : {kFloat32, kFloat64, kBFloat16, kFloat16}) {
    const Tensor x = numbers(dtype, shape());
    for (const Layout& layout : layouts) {
      const Tensor on_cpu = layout.of(x), on_cuda = layout.of(x.to("cuda"));
      const std::string what = format("{} {}", name_of(dtype), layout.name);
      check_close(on_cuda * 2.3, on_cpu * 2.3, what);
      check_close(1.7 - on_cuda, 1.7 - on_cpu, what);
      check_close(where(gt(on_cuda, 0), on_cuda, on_cuda * 0.1), where(gt(on_cpu, 0), on_cpu, on_cpu * 0.1), what);
    }
  }
}

TEST_CASE("a number is not rounded to the tensor's dtype, wherever the element lies") {
  // 8 go 16 bytes at a time, 7 one by one. In bf16 1 + 1.0117 rounds up, 1 + bf16(1.0117) down.
  for (const int64_t count : {8, 7}) {
    const Tensor y = Tensor::ones({count}, {kBFloat16, "cuda"}) + 1.0117;
    CHECK(y.to("cpu").to_vector<double>() == (Tensor::ones({count}, {kBFloat16}) + 1.0117).to_vector<double>());
  }
}

TEST_CASE("copies and fills on cuda and cpu, from every dtype to every dtype") {
  [&]<class... T>(TypeList<T...> all) {
    for (const DType from : {dtype_of<T>()...}) {
      const Tensor x = numbers(kFloat32, shape()).abs().to(from);  // a negative number as u8 is anyone's guess
      (
          [&] {
            for (const Layout& layout : layouts) {
              const std::string what = format("copy {} to {}, {}", name_of(from), name_of(dtype_of<T>()), layout.name);
              check_close(layout.of(x.to("cuda")).to(dtype_of<T>()), layout.of(x).to(dtype_of<T>()), what);
            }
          }(),
          ...);
      check_close(Tensor::full({33}, 3, {from, "cuda"}), Tensor::full({33}, 3, {from}), "fill");
    }
    (void)all;
  }(AllTypes{});
}

TEST_CASE("random numbers are the CPU's") {
  for (const uint64_t first : {0, 1, 3, 1000}) {
    for (const DType dtype : {kFloat32, kFloat64, kBFloat16, kFloat16}) {
      const RandomKey key = {.seed = 7, .layer = 3, .step = 11, .first = first};
      const auto draw = [&](const auto& kernel, Device device, auto low, auto high) {
        Tensor y = Tensor::empty({1001}, {dtype, device});
        kernel(current_stream(device), key, low, high, y.mutable_view());
        return y;
      };
      check_close(draw(kernels::random_uniform, "cuda", 0.0, 1.0), draw(kernels::random_uniform, kCPU, 0.0, 1.0),
                  "uniform");
      check_close(draw(kernels::random_normal, "cuda", 1.0, 2.0), draw(kernels::random_normal, kCPU, 1.0, 2.0),
                  "normal");
      check_close(draw(kernels::random_integer, "cuda", int64_t(-5), int64_t(90)),
                  draw(kernels::random_integer, kCPU, int64_t(-5), int64_t(90)), "integer");
    }
  }
}

TEST_CASE("matrix products on cuda and cpu, transposed, batched and broadcast") {
  for (const DType dtype : {kFloat32, kFloat64, kInt64, kInt32}) {
    const Tensor a = numbers(dtype, {3, 17, 29}), b = numbers(dtype, {3, 29, 23});
    const Tensor a_cuda = a.to("cuda"), b_cuda = b.to("cuda");
    check_close(matmul(a_cuda, b_cuda), matmul(a, b), "batched");
    check_close(matmul(a_cuda, b_cuda.select(0, 1)), matmul(a, b.select(0, 1)), "broadcast");
    check_close(matmul(b_cuda.transpose(1, 2), a_cuda.transpose(1, 2)), matmul(b.transpose(1, 2), a.transpose(1, 2)),
                "both transposed");
    check_close(matmul(a_cuda.slice(2, 3, 9), b_cuda.slice(1, 3, 9)), matmul(a.slice(2, 3, 9), b.slice(1, 3, 9)),
                "sliced");
    check_close(matmul(a_cuda.slice(2, 0, 0), b_cuda.slice(1, 0, 0)), matmul(a.slice(2, 0, 0), b.slice(1, 0, 0)),
                "sums of nothing");
  }
}

TEST_CASE("memory that runs out on cuda is an error that names the device") {
  try {
    Tensor::empty({int64_t(1) << 43}, {.device = "cuda"});
    FAIL("nothing was thrown");
  } catch (const OutOfMemoryError& e) {
    CHECK_MESSAGE(std::string(e.what()).find("on cuda:0") != std::string::npos, e.what());
  }
  CHECK(Tensor::ones({5}, {.device = "cuda"}).to("cpu").sum().item() == 5);  // the device goes on
}
