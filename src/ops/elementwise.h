// Every struct of kernels/elementwise as an op with its gradient. ops.h gives them their names.
#pragma once

#include "kernels/elementwise.h"
#include "kernels/elementwise/binary_ops.h"
#include "kernels/elementwise/unary_ops.h"
#include "ops/promotion.h"
#include "tensor/tensor.h"

namespace rstorch {

// An argument as kernels see it, broadcast to `shape`.
kernels::Operand operand(const TensorOrNumber& x, const Shape& shape);

// y = f(x). F is one of kernels::UnaryOps.
template <class F>
Tensor unary(const Tensor& x, F f = {});

// y = f(a, b), broadcast and promoted. F is one of kernels::BinaryOps; at most one of a and b is a number.
template <class F>
Tensor binary(const TensorOrNumber& a, const TensorOrNumber& b, F f = {});

// x = f(x, b), recorded. Throws where the result does not have x's shape, or its dtype cannot be cast to x's.
template <class F>
void binary_in_place(std::string_view name, const Tensor& x, const TensorOrNumber& b, F f = {});

// a + alpha b and a - alpha b, by what they come down to: of integers alpha goes into b first, in their dtype, so that
// it is exact and wraps around as any integer.
enum class Alpha { one, integer, real };
// Throws ArgumentError for an alpha that PyTorch refuses: a floating number where the result is none, even 1.0, and a
// bool where the result is none.
Alpha kind_of_alpha(std::string_view name, const Tensor& a, const Tensor& b, Scalar alpha);

// Throws DTypeError for bool, which PyTorch does not subtract.
void refuse_bool(std::string_view name, const TensorOrNumber& x);

}  // namespace rstorch
