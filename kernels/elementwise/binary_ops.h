// Every elementwise function of two tensors: ONE struct per op, read by the C++ compiler and by nvcc.
//
//   name            the op's name in ops.h
//   Types           the dtypes it is computed in, after promotion. Where that is `Floats`, integers are converted to f32
//   value           y = f(a, b). 16-bit floats are computed as float. A bool result makes a bool tensor
//   slope_a_reads   which inputs slope_a looks at: only those are kept for the backward pass. With Reads::none the slope
//                   is a constant. The same for b
//   slope_a         dy/da. The same for b
//
// An op with parameters has them as members; one without a gradient has no slopes. To add an op: a struct here, its
// name in BinaryOps, lines in src/ops/ops.h and a case in tests/ops. Kernels for both devices and the gradients follow
// from the list.
#pragma once

#include <string_view>

#include "base/dtype.h"
#include "kernels/math.h"

namespace rstorch::kernels {

enum class Reads : uint8_t { none = 0, a = 1, b = 2, both = 3 };
constexpr bool reads_a(Reads reads) { return uint8_t(reads) & 1; }
constexpr bool reads_b(Reads reads) { return uint8_t(reads) & 2; }

template <class F>
concept HasSlopes = requires { F::slope_a_reads; };

// One line a function.
// clang-format off

struct Add {
  static constexpr std::string_view name = "add";
  using Types = AllTypes;
  template <class T> RST_HD static T value(T a, T b) { return T(a + b); }
  static constexpr Reads slope_a_reads = Reads::none, slope_b_reads = Reads::none;
  template <class T> RST_HD static T slope_a(T, T) { return T(1); }
  template <class T> RST_HD static T slope_b(T, T) { return T(1); }
};

// a + alpha b
struct AddScaled {
  double alpha;
  static constexpr std::string_view name = "add";
  using Types = AllTypes;
  template <class T> RST_HD T value(T a, T b) const { return T(a + T(alpha) * b); }
  static constexpr Reads slope_a_reads = Reads::none, slope_b_reads = Reads::none;
  template <class T> RST_HD static T slope_a(T, T) { return T(1); }
  template <class T> RST_HD T slope_b(T, T) const { return T(alpha); }
};

// a + weight (b - a), from the end that is nearer, as PyTorch's.
struct Lerp {
  double weight;
  static constexpr std::string_view name = "lerp";
  using Types = Floats;
  template <class T> RST_HD T value(T a, T b) const {
    return weight < 0.5 ? a + T(weight) * (b - a) : b - (b - a) * T(1 - weight);
  }
  static constexpr Reads slope_a_reads = Reads::none, slope_b_reads = Reads::none;
  template <class T> RST_HD T slope_a(T, T) const { return T(1 - weight); }
  template <class T> RST_HD T slope_b(T, T) const { return T(weight); }
};

struct Sub {
  static constexpr std::string_view name = "sub";
  using Types = AllNumbers;
  template <class T> RST_HD static T value(T a, T b) { return T(a - b); }
  static constexpr Reads slope_a_reads = Reads::none, slope_b_reads = Reads::none;
  template <class T> RST_HD static T slope_a(T, T) { return T(1); }
  template <class T> RST_HD static T slope_b(T, T) { return T(-1); }
};

struct Mul {
  static constexpr std::string_view name = "mul";
  using Types = AllTypes;
  template <class T> RST_HD static T value(T a, T b) { return T(a * b); }
  static constexpr Reads slope_a_reads = Reads::b, slope_b_reads = Reads::a;
  template <class T> RST_HD static T slope_a(T, T b) { return b; }
  template <class T> RST_HD static T slope_b(T a, T) { return a; }
};

struct Div {
  static constexpr std::string_view name = "div";
  using Types = Floats;
  template <class T> RST_HD static T value(T a, T b) { return a / b; }
  static constexpr Reads slope_a_reads = Reads::b, slope_b_reads = Reads::both;
  template <class T> RST_HD static T slope_a(T, T b) { return T(1) / b; }
  template <class T> RST_HD static T slope_b(T a, T b) { return -(a / b) / b; }  // b * b would overflow first
};

struct Pow {
  static constexpr std::string_view name = "pow";
  using Types = AllNumbers;
  template <class T> RST_HD static T value(T a, T b) { return math::pow(a, b); }
  static constexpr Reads slope_a_reads = Reads::both, slope_b_reads = Reads::both;
  template <class T> RST_HD static T slope_a(T a, T b) { return b == T(0) ? T(0) : b * math::pow(a, b - T(1)); }
  // 0^b is 0 around b > 0: no slope, although log(0) is infinite.
  template <class T> RST_HD static T slope_b(T a, T b) {
    return a == T(0) && b >= T(0) ? T(0) : math::pow(a, b) * math::log(a);
  }
};

struct Maximum {
  static constexpr std::string_view name = "maximum";
  using Types = AllTypes;
  template <class T> RST_HD static T value(T a, T b) { return math::maximum(a, b); }
  static constexpr Reads slope_a_reads = Reads::both, slope_b_reads = Reads::both;
  template <class T> RST_HD static T slope_a(T a, T b) { return a > b ? T(1) : a == b ? T(0.5) : T(0); }
  template <class T> RST_HD static T slope_b(T a, T b) { return slope_a(b, a); }
};

struct Minimum {
  static constexpr std::string_view name = "minimum";
  using Types = AllTypes;
  template <class T> RST_HD static T value(T a, T b) { return math::minimum(a, b); }
  static constexpr Reads slope_a_reads = Reads::both, slope_b_reads = Reads::both;
  template <class T> RST_HD static T slope_a(T a, T b) { return a < b ? T(1) : a == b ? T(0.5) : T(0); }
  template <class T> RST_HD static T slope_b(T a, T b) { return slope_a(b, a); }
};

struct Eq {
  static constexpr std::string_view name = "eq";
  using Types = AllTypes;
  template <class T> RST_HD static bool value(T a, T b) { return a == b; }
};

struct Ne {
  static constexpr std::string_view name = "ne";
  using Types = AllTypes;
  template <class T> RST_HD static bool value(T a, T b) { return a != b; }
};

struct Lt {
  static constexpr std::string_view name = "lt";
  using Types = AllTypes;
  template <class T> RST_HD static bool value(T a, T b) { return a < b; }
};

struct Le {
  static constexpr std::string_view name = "le";
  using Types = AllTypes;
  template <class T> RST_HD static bool value(T a, T b) { return a <= b; }
};

struct Gt {
  static constexpr std::string_view name = "gt";
  using Types = AllTypes;
  template <class T> RST_HD static bool value(T a, T b) { return a > b; }
};

struct Ge {
  static constexpr std::string_view name = "ge";
  using Types = AllTypes;
  template <class T> RST_HD static bool value(T a, T b) { return a >= b; }
};

using BinaryOps = TypeList<Add, AddScaled, Lerp, Sub, Mul, Div, Pow, Maximum, Minimum, Eq, Ne, Lt, Le, Gt, Ge>;

// clang-format on
}  // namespace rstorch::kernels
