// Runs every case of cases.h through every check that op_case.h promises.
#define DOCTEST_CONFIG_IMPLEMENT
#include "ops/ops.h"

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <limits>
#include <map>
#include <regex>
#include <set>

#include <doctest/doctest.h>
#include <omp.h>

#include "autograd/grad_mode.h"
#include "autograd/gradcheck.h"
#include "guarded_allocator.h"
#include "harness.h"
#include "tensor/runtime.h"
#include "tests/sanitized.h"

using namespace rstorch;
using namespace rstorch::testing;

namespace {

constexpr Layout kLayouts[] = {Layout::contiguous, Layout::transposed, Layout::sliced, Layout::expanded,
                               Layout::channels_last};

std::vector<Array> to_arrays(const std::vector<Tensor>& tensors) {
  std::vector<Array> out;
  for (const Tensor& x : tensors) out.push_back(to_array(x));
  return out;
}

bool bit_equal(const Tensor& a, const Tensor& b) {
  if (a.defined() != b.defined()) return false;
  if (!a.defined()) return true;
  const Tensor x = a.contiguous(), y = b.contiguous();
  return a.shape() == b.shape() && a.dtype() == b.dtype() &&
         (x.bytes() == 0 || std::memcmp(x.raw_data(), y.raw_data(), x.bytes()) == 0);
}

bool bit_equal(const Pass& a, const Pass& b) {
  bool equal = bit_equal(a.y, b.y);
  for (size_t i = 0; i < a.grads.size(); ++i) equal = equal && bit_equal(a.grads[i], b.grads[i]);
  return equal;
}

void check_forward(const OpCase& op_case, DType dtype, Size size, Layout layout) {
  const GuardedAllocator guarded;
  const NoGrad no_grad;
  const std::vector<Tensor> made = make_inputs(op_case, dtype, size);
  if (layout != Layout::contiguous && !changes_layout(op_case, made, layout)) return;
  const std::vector<Tensor> inputs = in_layout(op_case, made, layout);
  const std::vector<Array> before = to_arrays(inputs);
  const Tensor y = op_case.run(inputs);
  CHECK_EQ(difference(to_array(y), op_case.reference(before), tolerance_of(op_case, dtype)), "");
  const std::vector<Array> after = to_arrays(inputs);
  for (size_t i = 0; i < before.size(); ++i) CHECK_EQ(difference(after[i], before[i], {0, 0}), "");
  CHECK(guarded.intact());
}

}  // namespace

TEST_CASE("forward equals the reference, in every dtype and layout, and stays in its memory") {
  for (const OpCase& op_case : all_cases()) {
    for (const DType dtype : op_case.dtypes) {
      for (const Layout layout : kLayouts) {
        INFO(title(op_case), " ", name_of(dtype), " layout ", int(layout));
        check_forward(op_case, dtype, Size::normal, layout);
      }
    }
  }
}

TEST_CASE("empty inputs give what the reference says, and empty gradients") {
  for (const OpCase& op_case : all_cases()) {
    if (!has_size(op_case, Size::empty)) continue;
    INFO(title(op_case));
    check_forward(op_case, kFloat32, Size::empty, Layout::contiguous);
    const std::vector<Tensor> inputs = make_inputs(op_case, kFloat64, Size::empty);
    const Pass pass = run_pass(op_case, inputs);
    for (size_t i = 0; i < inputs.size(); ++i) {
      const bool wanted = inputs[i].defined() && inputs[i].requires_grad();
      CHECK_EQ(pass.grads[i].defined(), wanted);
      if (!pass.grads[i].defined()) continue;
      CHECK_EQ(pass.grads[i].shape().text(), inputs[i].shape().text());
      // Of what nothing depends on.
      if (pass.y.numel() == 0) CHECK_EQ(difference(to_array(pass.grads[i]), Array(inputs[i].shape()), {0, 0}), "");
    }
  }
}

TEST_CASE("gradients equal finite differences, in every layout of inputs and cotangent") {
  for (const OpCase& op_case : all_cases()) {
    if (!op_case.differentiable) continue;
    const std::vector<Tensor> inputs = make_inputs(op_case, kFloat64);
    for (const Layout layout : kLayouts) {
      if (layout != Layout::contiguous && !changes_layout(op_case, inputs, layout)) continue;
      INFO(title(op_case), " layout ", int(layout));
      const auto run = [&](const std::vector<Tensor>& x) {
        const Tensor y = op_case.run(in_layout(op_case, x, layout));
        // Its gradient is then transposed too.
        return layout == Layout::transposed && y.dim() >= 2 ? y.transpose(0, -1) : y;
      };
      if (kSlowdown > 1) {  // one pass shows the sanitizers all that hundreds of them would
        run(inputs).sum().backward();
        continue;
      }
      const GradcheckResult result =
          gradcheck(run, inputs, {.atol = op_case.gradient.absolute, .rtol = op_case.gradient.relative});
      CHECK_EQ(result.message, "");
    }
  }
}

TEST_CASE("gradients in f32 equal those in f64, and stay in their memory") {
  for (const OpCase& op_case : all_cases()) {
    if (!op_case.differentiable) continue;
    INFO(title(op_case));
    const GuardedAllocator guarded;
    const Pass single = run_pass(op_case, make_inputs(op_case, kFloat32));
    const Pass twice = run_pass(op_case, make_inputs(op_case, kFloat64));
    for (size_t i = 0; i < single.grads.size(); ++i) {
      REQUIRE_EQ(single.grads[i].defined(), twice.grads[i].defined());
      const Tolerance tolerance = {op_case.f32.relative * 10, op_case.f32.absolute * 10};
      CHECK_EQ(difference(to_array(single.grads[i]), to_array(twice.grads[i]), tolerance), "");
    }
    CHECK(guarded.intact());
  }
}

TEST_CASE("two runs, and any number of threads, give the same bits") {
  const int threads = omp_get_max_threads();
  for (const OpCase& op_case : all_cases()) {
    for (const Size size : {Size::normal, Size::large}) {
      if (!has_size(op_case, size)) continue;
      INFO(title(op_case), " size ", int(size));
      const std::vector<Tensor> inputs = make_inputs(op_case, kFloat32, size);
      omp_set_num_threads(1);
      const Pass once = run_pass(op_case, inputs);
      CHECK(bit_equal(once, run_pass(op_case, inputs)));
      omp_set_num_threads(3);
      if (op_case.same_bits_for_any_threads) CHECK(bit_equal(once, run_pass(op_case, inputs)));
      omp_set_num_threads(threads);
    }
  }
}

TEST_CASE("elementwise ops keep the layout of images, forward and backward") {
  const auto is_channels_last = [](const Tensor& x) { return x.permute({0, 2, 3, 1}).is_contiguous(); };
  const Tensor x = Tensor::randn({2, 4, 3, 5}).permute({0, 3, 1, 2}), row = Tensor::randn({5, 1, 1});
  REQUIRE(is_channels_last(x));
  for (const Tensor& y : {relu(x), to(gt(x, 0), kBool), x * 2, 2 - x, x * row, row + x, x + contiguous(x)}) {
    CHECK(is_channels_last(y));
  }
  CHECK((contiguous(x) + row).is_contiguous());
  const Tensor leaf = x.detach().set_requires_grad(true);
  const Tensor middle = leaf * 1.5;
  bool kept = false;
  middle.register_hook([&](const Tensor& gradient) {
    kept = is_channels_last(gradient);
    return Tensor();
  });
  sum(sigmoid(middle) * Tensor::ones({2, 5, 4, 3})).backward();
  CHECK(kept);
}

// PyTorch's threshold_backward. With all-zero weights y is the bias, nan, negative, 0 and positive in turn, and the
// gradient of the bias is the sum of what passes through.
TEST_CASE("the gradient of ReLU, plain and fused, passes where the result is nan") {
  for (const DType dtype : {kFloat32, kFloat64}) {
    const std::vector<double> values = {NAN, -1, 0, 2}, passes = {1, 0, 0, 1};
    const auto gradient = [&](const auto& f) {
      const Tensor bias = Tensor::from(values, {4}).to(dtype).set_requires_grad(true);
      sum(f(bias)).backward();
      return bias.grad().to_vector<double>();
    };
    CHECK_EQ(gradient([](const Tensor& x) { return relu(x); }), passes);
    CHECK_EQ(gradient([&](const Tensor& b) {
               return linear_relu(Tensor::ones({1, 3}, {dtype}), Tensor::zeros({4, 3}, {dtype}), b);
             }),
             passes);
    CHECK_EQ(gradient([&](const Tensor& b) {
               return conv2d_relu(Tensor::ones({1, 3, 2, 2}, {dtype}), Tensor::zeros({4, 3, 2, 2}, {dtype}), b);
             }),
             passes);
  }
}

// b * b is 0 or infinite in f32 for these.
TEST_CASE("the gradient of division holds where its result does") {
  const std::vector<double> a = {1e-25, 1e38, -1e25}, b = {1e-25, 1e20, 1e25}, dy = {1, 1, 1e25};
  const auto gradient = [&](DType dtype) {
    const Tensor x = Tensor::from(a, {3}).to(dtype), y = Tensor::from(b, {3}).to(dtype).set_requires_grad(true);
    (x / y).backward(Tensor::from(dy, {3}).to(dtype));
    return to_array(y.grad());
  };
  CHECK_EQ(difference(gradient(kFloat32), gradient(kFloat64), {1e-6, 0}), "");
}

TEST_CASE("parameters of another dtype or device are refused") {
  const Tensor x = Tensor::ones({2, 3}), target = Tensor::zeros({2}, {kInt64});
  const Tensor twice = Tensor::ones({3}, {kFloat64}), meta = Tensor::ones({3}).to("meta");
  const auto check = [&](const auto& f) {
    CHECK_THROWS_AS(f(twice), DTypeError);
    CHECK_THROWS_AS(f(meta), DeviceError);
  };
  check([&](const Tensor& w) { return layer_norm(x, {3}, w); });
  check([&](const Tensor& w) { return layer_norm(x, {3}, {}, w); });
  check([&](const Tensor& w) { return batch_norm(x, w, {}, {}, {}, {.training = true}); });
  check([&](const Tensor& w) { return cross_entropy(x, target, w); });
  check([&](const Tensor& w) { return binary_cross_entropy_with_logits(x, x, w); });
}

TEST_CASE("meta tensors give the shape and dtype of real ones") {
  const NoGrad no_grad;
  for (const OpCase& op_case : all_cases()) {
    INFO(title(op_case));
    const std::vector<Tensor> inputs = make_inputs(op_case, op_case.dtypes.front());
    std::vector<Tensor> meta;
    for (const Tensor& x : inputs) meta.push_back(x.defined() ? x.to("meta") : Tensor());
    const Tensor real = op_case.run(inputs), planned = op_case.run(meta);
    CHECK(planned.device().is_meta());
    CHECK_EQ(planned.shape().text(), real.shape().text());
    CHECK_EQ(name_of(planned.dtype()), name_of(real.dtype()));
  }
}

namespace {

// On CUDA, as leaves of their own.
std::vector<Tensor> on_cuda(const std::vector<Tensor>& inputs) {
  std::vector<Tensor> out;
  for (const Tensor& x : inputs) {
    out.push_back(x.defined() ? x.detach().to("cuda").set_requires_grad(x.requires_grad()) : Tensor());
  }
  return out;
}

// Floating inputs as this dtype has them; but beside an x of halves norms want f32.
std::vector<Tensor> rounded(const OpCase& op_case, const std::vector<Tensor>& inputs, DType dtype) {
  const bool is_norm = op_case.op == "batch_norm" || op_case.op == "layer_norm";
  std::vector<Tensor> out;
  for (const Tensor& x : inputs) {
    const bool converts = x.defined() && is_floating(x.dtype()) && !(is_norm && !out.empty());
    out.push_back(converts ? x.detach().to(dtype).set_requires_grad(x.requires_grad()) : x);
  }
  return out;
}

// sum (got - wanted)^2 / sum wanted^2, over what is finite in both; what is not has to be the same.
double normalized_error(const Array& got, const Array& wanted) {
  double error = 0, total = 0;
  for (int64_t i = 0; i < wanted.numel(); ++i) {
    if (!std::isfinite(wanted[i]) || !std::isfinite(got[i])) {
      const bool same = got[i] == wanted[i] || (std::isnan(got[i]) && std::isnan(wanted[i]));
      if (!same) return std::numeric_limits<double>::infinity();
      continue;
    }
    error += (got[i] - wanted[i]) * (got[i] - wanted[i]);
    total += wanted[i] * wanted[i];
  }
  const double nothing = 1e-6 * double(wanted.numel() + 1);  // what is left of what cancels
  return error / std::max(total, nothing);
}

}  // namespace

TEST_CASE("CUDA gives in bf16 and f16 what the CPU gives of the same numbers, and stays in its memory" *
          doctest::skip(!cuda::is_available())) {
  for (const OpCase& op_case : all_cases()) {
    for (const DType dtype : {kBFloat16, kFloat16}) {
      INFO(title(op_case), " ", name_of(dtype));
      try {
        const std::vector<Tensor> halves = rounded(op_case, make_inputs(op_case, kFloat32), dtype);
        const GuardedAllocator guarded("cuda");
        {
          const Pass here = run_pass(op_case, rounded(op_case, halves, kFloat32));
          const Pass there = run_pass(op_case, on_cuda(halves));
          const Tensor wanted = is_floating(here.y.dtype()) ? here.y.to(dtype) : here.y;
          CHECK(normalized_error(to_array(there.y), to_array(wanted)) < op_case.half_error);
          for (size_t i = 0; i < here.grads.size(); ++i) {
            REQUIRE_EQ(there.grads[i].defined(), here.grads[i].defined());
            if (here.grads[i].defined()) {
              CHECK(normalized_error(to_array(there.grads[i]), to_array(here.grads[i])) < op_case.half_error);
            }
          }
        }
        CHECK(guarded.intact());
      } catch (const Error& e) {
        FAIL_CHECK(std::string(e.what()));
      }
    }
  }
}

TEST_CASE("CUDA gives what the CPU gives, and stays in its memory" * doctest::skip(!cuda::is_available())) {
  for (const OpCase& op_case : all_cases()) {
    for (const DType dtype : op_case.dtypes) {
      INFO(title(op_case), " ", name_of(dtype));
      const std::vector<Tensor> inputs = make_inputs(op_case, dtype);
      try {
        const GuardedAllocator guarded("cuda");
        const std::vector<Tensor> there = on_cuda(inputs);
        const Pass here = run_pass(op_case, inputs), beyond = run_pass(op_case, there);
        const Tolerance once = tolerance_of(op_case, dtype), tolerance = {once.relative * 10, once.absolute * 10};
        CHECK_EQ(difference(to_array(beyond.y), to_array(here.y), tolerance), "");
        for (size_t i = 0; i < here.grads.size(); ++i) {
          CHECK_EQ(difference(to_array(beyond.grads[i]), to_array(here.grads[i]), tolerance), "");
        }
        CHECK(guarded.intact());
      } catch (const Error& e) {
        FAIL_CHECK(std::string(e.what()));
      }
    }
  }
}

// One case of each op: every element is two passes, and what the device computes is compared case by case above. The
// sanitizers have seen all of it there.
TEST_CASE("gradients on CUDA equal finite differences" * doctest::skip(!cuda::is_available() || kSlowdown > 1)) {
  std::set<std::string> seen;
  for (const OpCase& op_case : all_cases()) {
    if (!op_case.differentiable || !seen.insert(op_case.op).second) continue;
    INFO(title(op_case));
    const auto run = [&](const std::vector<Tensor>& x) {
      std::vector<Tensor> there;
      for (const Tensor& input : x) there.push_back(input.defined() ? input.to("cuda") : Tensor());
      return op_case.run(there).to("cpu");
    };
    const GradcheckResult result = gradcheck(run, make_inputs(op_case, kFloat64),
                                             {.atol = op_case.gradient.absolute, .rtol = op_case.gradient.relative});
    CHECK_EQ(result.message, "");
  }
}

TEST_CASE("every function of ops.h has a case") {
  const char* root = std::getenv("RSTORCH_SOURCE_DIR");
  REQUIRE_MESSAGE(root != nullptr, "set RSTORCH_SOURCE_DIR to the top of the source tree");
  std::ifstream in(std::string(root) + "/src/ops/ops.h");
  const std::regex declaration(R"(^(?:inline )?(?:Tensor|ValuesAndIndices|std::vector<Tensor>) (\w+)\(.*)");
  std::set<std::string> declared, covered;
  std::smatch match;
  for (std::string line; std::getline(in, line);) {
    if (std::regex_match(line, match, declaration)) declared.insert(match[1]);
  }
  for (const OpCase& op_case : all_cases()) covered.insert(op_case.op);
  CHECK(declared.size() > 60);
  for (const std::string& name : declared) CHECK_MESSAGE(covered.count(name) == 1, name, " has no case");
  for (const std::string& name : covered) CHECK_MESSAGE(declared.count(name) == 1, name, " is not in ops.h");
}

TEST_CASE("every op has a case with empty inputs") {
  std::map<std::string, bool> has_empty;
  for (const OpCase& op_case : all_cases()) has_empty[op_case.op] |= has_size(op_case, Size::empty);
  for (const auto& [name, has] : has_empty) CHECK_MESSAGE(has, name, " has no case with when_empty");
}

// ops_test [--only=TEXT] [--bench]: TEXT is a part of a case's title. Other arguments are doctest's.
int main(int argc, char** argv) {
  bool benchmark = false;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "--bench") benchmark = true;
    if (argument.substr(0, 7) == "--only=") select_cases(std::string(argument.substr(7)));
  }
  if (!benchmark) return doctest::Context(argc, argv).run();
  run_benchmark();
  return 0;
}
