#include <tuple>

#include "kernels/elementwise.h"
#include "ops/autocast.h"
#include "ops/broadcast.h"
#include "ops/elementwise.h"
#include "ops/layout.h"
#include "ops/op.h"
#include "ops/ops.h"

namespace rstorch {

kernels::Operand operand(const TensorOrNumber& x, const Shape& shape) {
  if (x.is_number()) return x.number();
  return broadcast_view(x.tensor(), shape);
}

namespace {

using kernels::HasSlopes;
using kernels::Operand;

// The dtype that F is computed in.
template <class F>
DType compute_type(DType promoted) {
  return std::is_same_v<typename F::Types, Floats> && !is_floating(promoted) ? kFloat32 : promoted;
}

template <class F>
constexpr bool gives_bool = std::is_same_v<decltype(std::declval<F>().value(1.0f, 1.0f)), bool>;

// What autocast computes in f32, as PyTorch does: powers, and 1 / x.
template <class F>
bool wants_full_precision(const TensorOrNumber& a) {
  return std::is_same_v<F, kernels::Pow> || (std::is_same_v<F, kernels::Div> && a.is_number());
}

// Of an argument that was a number, or a tensor that no slope reads.
Operand saved_operand(const Tensor& saved, Scalar number, const Shape& shape) {
  if (!saved.defined()) return number;
  return broadcast_view(saved, shape);
}

Shape result_shape(std::string_view name, const TensorOrNumber& a, const TensorOrNumber& b) {
  if (a.is_number()) return b.tensor().shape();
  if (b.is_number() || a.tensor().shape() == b.tensor().shape()) return a.tensor().shape();
  return broadcast_shapes(a.tensor().shape(), b.tensor().shape(), name);
}

// Of images beside channels-last ones the result is channels-last; what is broadcast has no say.
Layout layout_of_result(const Shape& shape, const TensorOrNumber& a, const TensorOrNumber& b) {
  for (const TensorOrNumber* x : {&a, &b}) {
    if (!x->is_number() && x->tensor().shape() == shape && is_channels_last(x->tensor())) return Layout::channels_last;
  }
  return Layout::contiguous;
}

void check_arguments(const Op& op, const TensorOrNumber& a, const TensorOrNumber& b) {
  if (!a.is_number()) op.require_defined("a", a.tensor());
  if (!b.is_number()) op.require_defined("b", b.tensor());
  if (!a.is_number() && !b.is_number()) op.require_same_device("a", a.tensor(), "b", b.tensor());
}

// Which arguments the gradients that are wanted will read.
struct Kept {
  Tensor a, b;
};
template <class F>
Kept kept_for_backward(const TensorOrNumber& a, const TensorOrNumber& b) {
  const bool for_a = a.tensor().defined() && a.tensor().requires_grad();
  const bool for_b = b.tensor().defined() && b.tensor().requires_grad();
  Kept kept;
  if ((for_a && reads_a(F::slope_a_reads)) || (for_b && reads_a(F::slope_b_reads))) kept.a = a.tensor();
  if ((for_a && reads_b(F::slope_a_reads)) || (for_b && reads_b(F::slope_b_reads))) kept.b = b.tensor();
  return kept;
}

// What the gradients need beside the saved tensors.
template <class F>
struct Backpropagate {
  F f;
  Shape a_shape, b_shape;
  Scalar a_number, b_number;

  Backpropagate(F f, const TensorOrNumber& a, const TensorOrNumber& b)
      : f(f), a_number(a.number()), b_number(b.number()) {
    if (!a.is_number()) a_shape = a.tensor().shape();
    if (!b.is_number()) b_shape = b.tensor().shape();
  }

  Grads operator()(const Saved& saved, const Tensor& dy) const {
    Grads grads(2);
    if (saved.needs(0)) {
      const auto slope = [this] { return double(f.slope_a(1.0, 1.0)); };
      grads[0] = sum_to_shape(times_slope<F::slope_a_reads>(kernels::Binary<F>::backward_a, slope, saved, dy), a_shape);
    }
    if (saved.needs(1)) {
      const auto slope = [this] { return double(f.slope_b(1.0, 1.0)); };
      grads[1] = sum_to_shape(times_slope<F::slope_b_reads>(kernels::Binary<F>::backward_b, slope, saved, dy), b_shape);
    }
    return grads;
  }

 private:
  // dy times a slope: by the kernel, or, where the slope is a constant, without one.
  template <kernels::Reads reads, class K, class Slope>
  Tensor times_slope(const K& kernel, const Slope& slope, const Saved& saved, const Tensor& dy) const {
    if constexpr (reads == kernels::Reads::none) {
      return slope() == 1 ? dy : mul(dy, slope());
    } else {
      Tensor out = empty_with_layout_of(dy);
      kernel(current_stream(dy.device()), f, saved_operand(saved[0], a_number, dy.shape()),
             saved_operand(saved[1], b_number, dy.shape()), dy.view(), out.mutable_view());
      return out;
    }
  }
};

}  // namespace

template <class F>
Tensor binary(const TensorOrNumber& a, const TensorOrNumber& b, F f) {
  const Op op(F::name);
  check_arguments(op, a, b);
  const Tensor& first = a.is_number() ? b.tensor() : a.tensor();
  DType dtype = compute_type<F>(result_type(a, b));
  if (wants_full_precision<F>(a)) dtype = full_precision_of(dtype, first.device());
  if (!a.is_number() && a.tensor().dtype() != dtype) return binary(to(a.tensor(), dtype), b, f);
  if (!b.is_number() && b.tensor().dtype() != dtype) return binary(a, to(b.tensor(), dtype), f);
  const Shape shape = result_shape(F::name, a, b);
  Tensor y = empty_image(shape, {gives_bool<F> ? kBool : dtype, first.device()}, layout_of_result(shape, a, b));
  kernels::Binary<F>::forward(op.stream(first), f, operand(a, shape), operand(b, shape), y.mutable_view());
  if constexpr (!HasSlopes<F>) {
    return y;
  } else {
    const Kept kept = kept_for_backward<F>(a, b);
    return op.record(y, inputs(a.tensor(), b.tensor()), saves(kept.a, kept.b), Backpropagate<F>(f, a, b));
  }
}

template <class F>
void binary_in_place(std::string_view name, const Tensor& x, const TensorOrNumber& b, F f) {
  const Op op(name);
  check_arguments(op, x, b);
  const DType result = compute_type<F>(result_type(x, b));
  if (!can_cast(result, x.dtype())) {
    throw DTypeError(format("{}: the result is {} and can't be cast to {}, the dtype of the tensor", name,
                            name_of(result), name_of(x.dtype())),
                     "use the out-of-place form");
  }
  const Shape shape = result_shape(name, x, b);
  if (shape != x.shape()) {
    throw ShapeError(format("{}: the result has shape {}, the tensor {}", name, shape.text(), x.shape().text()),
                     "use the out-of-place form");
  }
  check_in_place(name, x, inputs(x, b.tensor()));
  refuse_overlap(name, x);
  if (!b.is_number()) {
    // An operand that shares memory with x in another order would be read after it was written.
    const Tensor& operand = b.tensor();
    if (operand.dtype() != x.dtype()) return binary_in_place(name, x, to(operand, x.dtype()), f);
    if (!operand.is_same(x) && share_memory(operand, x)) return binary_in_place(name, x, clone(operand), f);
  }
  Kept kept = kept_for_backward<F>(x, b);
  const bool keeps_itself = kept.b.defined() && kept.b.is_same(x);
  if (kept.a.defined() || keeps_itself) kept.a = clone(x.detach());  // as it was before
  if (keeps_itself) kept.b = kept.a;
  const ConstView before = x.view();
  kernels::Binary<F>::forward(op.stream(x), f, before, operand(b, shape), x.mutable_view());
  x.impl()->storage->bump_version();
  record_in_place(name, x, inputs(x, b.tensor()), saves(kept.a, kept.b), Backpropagate<F>(f, x, b));
}

namespace {

template <class F>
auto binary_instances_of() {
  if constexpr (HasSlopes<F>)
    return std::tuple(&binary<F>, &binary_in_place<F>);
  else
    return std::tuple(&binary<F>);
}
template <class... Fs>
auto binary_instances_of(TypeList<Fs...>) {
  return std::tuple(binary_instances_of<Fs>()...);
}
[[gnu::used]] const auto binary_instances = binary_instances_of(kernels::BinaryOps{});

}  // namespace

void refuse_bool(std::string_view name, const TensorOrNumber& x) {
  const bool is_bool = x.is_number() ? x.number().kind() == kBool : x.tensor().defined() && x.tensor().dtype() == kBool;
  if (is_bool) throw DTypeError(format("{}: bool cannot be subtracted", name), "use logical_not, or ne");
}

Alpha kind_of_alpha(std::string_view name, const Tensor& a, const Tensor& b, Scalar alpha) {
  check_arguments(Op(name), a, b);
  const DType result = result_type(a, b);
  if (is_floating(alpha.kind()) && !is_floating(result)) {
    throw ArgumentError(format("{}: alpha is a floating number, the result is {}", name, name_of(result)),
                        "give an integer, or convert with to(kFloat32)");
  }
  if (alpha.kind() == kBool && result != kBool) {
    throw ArgumentError(format("{}: alpha is a bool, the result is {}", name, name_of(result)), "give a number");
  }
  if (alpha.as<double>() == 1) return Alpha::one;
  return is_integral(result) ? Alpha::integer : Alpha::real;
}

Tensor add(const Tensor& a, const Tensor& b, Scalar alpha) {
  const Alpha kind = kind_of_alpha("add", a, b, alpha);
  if (kind == Alpha::one) return binary<kernels::Add>(a, b);
  if (kind == Alpha::integer) return binary<kernels::Add>(a, mul(to(b, result_type(a, b)), alpha));
  return binary(a, b, kernels::AddScaled{alpha.as<double>()});
}

Tensor sub(const Tensor& a, const Tensor& b, Scalar alpha) {
  refuse_bool("sub", a);
  refuse_bool("sub", b);
  const Alpha kind = kind_of_alpha("sub", a, b, alpha);
  if (kind == Alpha::one) return binary<kernels::Sub>(a, b);
  if (kind == Alpha::integer) return binary<kernels::Sub>(a, mul(to(b, result_type(a, b)), alpha));
  return binary(a, b, kernels::AddScaled{-alpha.as<double>()});
}

Tensor sub(const Tensor& a, Scalar b) {
  refuse_bool("sub", a);
  refuse_bool("sub", b);
  return binary<kernels::Sub>(a, b);
}

Tensor rsub(const Tensor& a, Scalar b) {
  refuse_bool("rsub", a);
  refuse_bool("rsub", b);
  return binary<kernels::Sub>(b, a);
}

Tensor pow(const Tensor& a, Scalar b) {
  const DType dtype = full_precision_of(result_type(a, b), a.device());
  const double exponent = b.as<double>();
  if (exponent == 1) return clone(to(a, dtype));
  if (exponent == 2 && is_floating(dtype)) return unary<kernels::Square>(to(a, dtype));
  if (exponent < 0 && !is_floating(dtype)) {
    throw ArgumentError("pow: an integer tensor cannot be raised to a negative power", "convert it with to(kFloat32)");
  }
  return binary<kernels::Pow>(a, b);
}

}  // namespace rstorch
