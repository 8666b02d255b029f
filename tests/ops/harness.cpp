#include "harness.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <random>

#include "autograd/grad_mode.h"
#include "cases.h"
#include "ops/ops.h"
#include "tensor/runtime.h"

namespace rstorch::testing {

namespace {

std::string selected;

}  // namespace

void select_cases(std::string text) { selected = std::move(text); }

std::vector<OpCase> all_cases() {
  std::vector<OpCase> out;
  for (const auto& family : kFamilies) {
    for (OpCase& op_case : family()) {
      if (title(op_case).find(selected) != std::string::npos) out.push_back(std::move(op_case));
    }
  }
  return out;
}

bool has_size(const OpCase& op_case, Size size) {
  return size == Size::normal || std::any_of(op_case.inputs.begin(), op_case.inputs.end(), [&](const Input& input) {
           return size == Size::empty ? input.empty.has_value() : input.bench.has_value();
         });
}

std::vector<Tensor> make_inputs(const OpCase& op_case, DType dtype, Size size) {
  std::mt19937_64 generator(1);
  std::vector<Tensor> out;
  for (const Input& input : op_case.inputs) {
    if (input.kind == Input::Kind::absent) {
      out.emplace_back();
      continue;
    }
    const Shape shape = size == Size::empty   ? input.empty.value_or(input.shape)
                        : size == Size::large ? input.bench.value_or(input.shape)
                                              : input.shape;
    std::vector<double> values(size_t(shape.numel()));
    const bool given = size == Size::normal && !input.values.empty();
    std::uniform_real_distribution<double> uniform(input.low, input.high);
    for (size_t i = 0; i < values.size(); ++i)
      values[i] = given ? input.values.at(i) : double(float(uniform(generator)));
    Tensor x = Tensor::from(values, shape);
    switch (input.kind) {
      case Input::Kind::integer:
        for (double& value : values) value = std::floor(value);
        x = Tensor::from(values, shape).to(kInt64);
        break;
      case Input::Kind::boolean:
        x = gt(x, 0);
        break;
      default:
        x = x.to(dtype).set_requires_grad(op_case.differentiable && input.requires_grad);
    }
    out.push_back(x);
  }
  return out;
}

namespace {

bool may_change(const Input& input, const Tensor& x, Layout layout) {
  if (!input.any_layout || !x.defined() || x.numel() == 0) return false;
  switch (layout) {
    case Layout::contiguous:
      return false;
    case Layout::transposed:
      return x.dim() >= 2 && x.size(0) > 1 && x.size(-1) > 1;
    case Layout::sliced:
      return x.dim() >= 1;
    case Layout::expanded:
      return x.dim() >= 1 && x.size(0) > 1;
    case Layout::channels_last:
      return x.dim() == 4 && x.size(1) > 1 && x.size(2) * x.size(3) > 1;
  }
  return false;
}

Tensor in_layout(const Tensor& x, Layout layout) {
  switch (layout) {
    case Layout::contiguous:
      return x;
    case Layout::transposed:
      return x.transpose(0, -1).clone().transpose(0, -1);
    case Layout::sliced:
      return stack({x, x}, -1).select(-1, 1);  // every other element of a larger tensor
    case Layout::expanded:
      return x.slice(0, 0, 1).expand(x.shape());
    case Layout::channels_last:
      return x.permute({0, 2, 3, 1}).clone().permute({0, 3, 1, 2});
  }
  throw InternalError("in_layout: unknown layout");
}

}  // namespace

std::vector<Tensor> in_layout(const OpCase& op_case, const std::vector<Tensor>& inputs, Layout layout) {
  std::vector<Tensor> out;
  for (size_t i = 0; i < inputs.size(); ++i) {
    out.push_back(may_change(op_case.inputs[i], inputs[i], layout) ? in_layout(inputs[i], layout) : inputs[i]);
  }
  return out;
}

bool changes_layout(const OpCase& op_case, const std::vector<Tensor>& inputs, Layout layout) {
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (may_change(op_case.inputs[i], inputs[i], layout)) return true;
  }
  return false;
}

Array to_array(const Tensor& x) {
  if (!x.defined()) return {};
  Array out(x.shape());
  out.values = x.to_vector<double>();
  return out;
}

Tolerance tolerance_of(const OpCase& op_case, DType dtype) {
  return dtype == DType::f64 ? op_case.f64 : dtype == DType::f32 ? op_case.f32 : op_case.half;
}

std::string difference(const Array& got, const Array& wanted, Tolerance tolerance) {
  if (got.shape != wanted.shape) return format("shape {}, wanted {}", got.shape.text(), wanted.shape.text());
  for (int64_t i = 0; i < got.numel(); ++i) {
    if (got[i] == wanted[i] || (std::isnan(got[i]) && std::isnan(wanted[i]))) continue;
    // Written so that a nan fails.
    if (std::abs(got[i] - wanted[i]) <= tolerance.absolute + tolerance.relative * std::abs(wanted[i])) continue;
    return format("element {} of {}: {}, wanted {}", i, got.shape.text(), got[i], wanted[i]);
  }
  return {};
}

Pass run_pass(const OpCase& op_case, const std::vector<Tensor>& inputs) {
  for (Tensor x : inputs) {
    if (x.defined()) x.zero_grad();
  }
  Pass pass{op_case.run(inputs), {}};
  if (pass.y.requires_grad()) {
    std::mt19937_64 generator(2);
    std::normal_distribution<double> normal;
    std::vector<double> cotangent(size_t(pass.y.numel()));
    for (double& value : cotangent) value = double(float(normal(generator)));
    pass.y.backward(Tensor::from(cotangent, pass.y.shape()).to(pass.y.dtype()).to(pass.y.device()));
  }
  for (const Tensor& x : inputs) pass.grads.push_back(x.defined() ? x.grad() : Tensor());
  return pass;
}

namespace {

// The median time of a call, in seconds.
double median_time(const std::function<void()>& call) {
  using Clock = std::chrono::steady_clock;
  std::vector<double> times;
  const Clock::time_point begin = Clock::now();
  for (int i = 0; i < 5 || (Clock::now() - begin < std::chrono::milliseconds(200) && i < 1000); ++i) {
    const Clock::time_point start = Clock::now();
    call();
    times.push_back(std::chrono::duration<double>(Clock::now() - start).count());
  }
  std::nth_element(times.begin(), times.begin() + long(times.size() / 2), times.end());
  return times[times.size() / 2];
}

}  // namespace

void run_benchmark() {
  std::printf("%-44s %12s %14s %12s\n", "case (f32)", "forward us", "rate", "with bwd us");
  for (const OpCase& op_case : all_cases()) {
    if (!has_size(op_case, Size::large)) continue;
    const std::vector<Tensor> inputs = make_inputs(op_case, kFloat32, Size::large);
    size_t bytes = op_case.run(inputs).bytes();
    for (const Tensor& x : inputs) bytes += x.defined() ? x.bytes() : 0;
    const double forward = median_time([&] {
      const NoGrad no_grad;
      op_case.run(inputs);
    });
    const std::string rate = op_case.flops > 0 ? format("{:.1f} GFLOP/s", op_case.flops / forward * 1e-9)
                                               : format("{:.1f} GB/s", double(bytes) / forward * 1e-9);
    const Tensor y = op_case.run(inputs);
    const Tensor dy = y.requires_grad() ? ones_like(y) : Tensor();
    const double both = median_time([&] {
      const Tensor out = op_case.run(inputs);
      if (dy.defined()) out.backward(dy);
    });
    std::printf("%-44s %12.1f %14s %12.1f\n", title(op_case).c_str(), forward * 1e6, rate.c_str(), both * 1e6);
  }
}

}  // namespace rstorch::testing
