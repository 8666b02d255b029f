// Elementwise kernels: one per struct of unary_ops.h and binary_ops.h, and `where`.
//
// All views of a call have the output's shape; strides are free, 0 where an input is broadcast. Inputs have one dtype,
// of F::Types; the output has the same, or bool where F gives bool. An output may be the very view of an input (in
// place) but not overlap one otherwise.
#pragma once

#include <algorithm>
#include <array>

#include "base/scalar.h"
#include "kernels/elementwise/binary_ops.h"
#include "kernels/elementwise/unary_ops.h"
#include "kernels/kernel.h"

namespace rstorch::kernels {

// An input: the elements of a tensor, or one number for all of them.
struct Operand {
  Operand(const ConstView& view) : view(view) {}               // NOLINT: implicit
  Operand(const View& view) : view(view) {}                    // NOLINT: implicit
  Operand(Scalar number) : number(number), is_number(true) {}  // NOLINT: implicit

  ConstView view;
  Scalar number = 0;
  bool is_number = false;
};

// Two texts in one, at compile time: the names of backward kernels.
template <const std::string_view& First, const std::string_view& Second>
struct Joined {
  static constexpr auto characters = [] {
    std::array<char, First.size() + Second.size()> out{};
    std::copy(Second.begin(), Second.end(), std::copy(First.begin(), First.end(), out.begin()));
    return out;
  }();
};
template <const std::string_view& First, const std::string_view& Second>
inline constexpr std::string_view joined{Joined<First, Second>::characters.data(), First.size() + Second.size()};
inline constexpr std::string_view kBackward = "_backward", kBackwardA = "_backward_a", kBackwardB = "_backward_b";

// The kernels of one op F. Floating dtypes only in the backward ones.
template <class F>
struct Unary {
  // y = f(x)
  static Kernel<F, ConstView /*x*/, View /*y*/> forward;
  // dx = dy * f.slope(kept), where kept is x or y as F::keep says.
  static Kernel<F, ConstView /*kept*/, ConstView /*dy*/, View /*dx*/> backward;
};

template <class F>
struct Binary {
  // y = f(a, b). At most one of a and b is a number.
  static Kernel<F, Operand /*a*/, Operand /*b*/, View /*y*/> forward;
  // da = dy * f.slope_a(a, b), db = dy * f.slope_b(a, b). For an input that the slope does not read, any number will
  // do.
  static Kernel<F, Operand /*a*/, Operand /*b*/, ConstView /*dy*/, View /*da*/> backward_a;
  static Kernel<F, Operand /*a*/, Operand /*b*/, ConstView /*dy*/, View /*db*/> backward_b;
};

// y = condition ? a : b. condition is bool; a, b and y have one dtype, any.
extern Kernel<ConstView /*condition*/, Operand /*a*/, Operand /*b*/, View /*y*/> where;

// y = a + b
inline void add(Stream& stream, const Operand& a, const Operand& b, const View& y) {
  Binary<Add>::forward(stream, Add{}, a, b, y);
}

}  // namespace rstorch::kernels
