// Every elementwise function of one tensor: ONE struct per op, read by the C++ compiler and by nvcc.
//
//   name    the op's name in ops.h
//   Types   the dtypes it is computed in. Where that is `Floats`, integer tensors are converted to f32 first
//   value   y = f(x). 16-bit floats are computed as float. A bool result makes a bool tensor
//   keep    what the backward pass keeps; with Keep::nothing the slope is a constant
//   slope   dy/dx from what was kept
//
// An op with parameters has them as members; one without a gradient has no keep and no slope. To add an op: a struct
// here, its name in UnaryOps, a line in src/ops/ops.h and a case in tests/ops. Kernels for both devices and the
// gradient follow from the list.
#pragma once

#include <string_view>

#include "base/dtype.h"
#include "kernels/math.h"

namespace rstorch::kernels {

enum class Keep : uint8_t { nothing, input, output };

template <class F>
concept HasSlope = requires { F::keep; };

// One line a function.
// clang-format off

struct Neg {
  static constexpr std::string_view name = "neg";
  using Types = AllNumbers;
  static constexpr Keep keep = Keep::nothing;
  template <class T> RST_HD static T value(T x) { return T(-x); }
  template <class T> RST_HD static T slope(T) { return T(-1); }
};

struct Exp {
  static constexpr std::string_view name = "exp";
  using Types = Floats;
  static constexpr Keep keep = Keep::output;
  template <class T> RST_HD static T value(T x) { return math::exp(x); }
  template <class T> RST_HD static T slope(T y) { return y; }
};

struct Log {
  static constexpr std::string_view name = "log";
  using Types = Floats;
  static constexpr Keep keep = Keep::input;
  template <class T> RST_HD static T value(T x) { return math::log(x); }
  template <class T> RST_HD static T slope(T x) { return T(1) / x; }
};

struct Sqrt {
  static constexpr std::string_view name = "sqrt";
  using Types = Floats;
  static constexpr Keep keep = Keep::output;
  template <class T> RST_HD static T value(T x) { return math::sqrt(x); }
  template <class T> RST_HD static T slope(T y) { return T(0.5) / y; }
};

struct Rsqrt {
  static constexpr std::string_view name = "rsqrt";
  using Types = Floats;
  static constexpr Keep keep = Keep::output;
  template <class T> RST_HD static T value(T x) { return T(1) / math::sqrt(x); }
  template <class T> RST_HD static T slope(T y) { return T(-0.5) * y * y * y; }
};

struct Square {
  static constexpr std::string_view name = "square";
  using Types = Floats;
  static constexpr Keep keep = Keep::input;
  template <class T> RST_HD static T value(T x) { return x * x; }
  template <class T> RST_HD static T slope(T x) { return T(2) * x; }
};

struct Abs {
  static constexpr std::string_view name = "abs";
  using Types = AllNumbers;
  static constexpr Keep keep = Keep::input;
  template <class T> RST_HD static T value(T x) { return math::abs(x); }
  template <class T> RST_HD static T slope(T x) { return T(x > T(0)) - T(x < T(0)); }
};

struct Sin {
  static constexpr std::string_view name = "sin";
  using Types = Floats;
  static constexpr Keep keep = Keep::input;
  template <class T> RST_HD static T value(T x) { return math::sin(x); }
  template <class T> RST_HD static T slope(T x) { return math::cos(x); }
};

struct Cos {
  static constexpr std::string_view name = "cos";
  using Types = Floats;
  static constexpr Keep keep = Keep::input;
  template <class T> RST_HD static T value(T x) { return math::cos(x); }
  template <class T> RST_HD static T slope(T x) { return -math::sin(x); }
};

struct Tanh {
  static constexpr std::string_view name = "tanh";
  using Types = Floats;
  static constexpr Keep keep = Keep::output;
  template <class T> RST_HD static T value(T x) { return math::tanh(x); }
  template <class T> RST_HD static T slope(T y) { return T(1) - y * y; }
};

struct Sigmoid {
  static constexpr std::string_view name = "sigmoid";
  using Types = Floats;
  static constexpr Keep keep = Keep::output;
  template <class T> RST_HD static T value(T x) { return math::sigmoid(x); }
  template <class T> RST_HD static T slope(T y) { return y * (T(1) - y); }
};

struct Relu {
  static constexpr std::string_view name = "relu";
  using Types = AllNumbers;
  static constexpr Keep keep = Keep::output;
  template <class T> RST_HD static T value(T x) { return x < T(0) ? T(0) : x; }  // nan stays
  template <class T> RST_HD static T slope(T y) { return y <= T(0) ? T(0) : T(1); }  // nan passes, as in PyTorch
};

// x where it is positive, else `below` x (Maas et al. 2013).
struct LeakyRelu {
  double below;
  static constexpr std::string_view name = "leaky_relu";
  using Types = Floats;
  static constexpr Keep keep = Keep::input;
  template <class T> RST_HD T value(T x) const { return x > T(0) ? x : x * T(below); }
  template <class T> RST_HD T slope(T x) const { return x > T(0) ? T(1) : T(below); }
};

// x Phi(x), with the normal distribution Phi (Hendrycks & Gimpel 2016).
struct Gelu {
  static constexpr std::string_view name = "gelu";
  using Types = Floats;
  static constexpr Keep keep = Keep::input;
  template <class T> RST_HD static T phi(T x) { return T(0.5) + T(0.5) * math::erf(x * T(0.70710678118654752)); }
  template <class T> RST_HD static T value(T x) { return x * phi(x); }
  template <class T> RST_HD static T slope(T x) {
    return phi(x) + x * T(0.39894228040143268) * math::exp(T(-0.5) * x * x);
  }
};

// x (1 + tanh(u)) / 2 with u = sqrt(2/pi) (x + 0.044715 x^3), which is x sigmoid(2u).
struct GeluTanh {
  static constexpr std::string_view name = "gelu_tanh";
  using Types = Floats;
  static constexpr Keep keep = Keep::input;
  template <class T> RST_HD static T gate(T x) {
    return math::sigmoid(T(1.5957691216057308) * x * (T(1) + T(0.044715) * x * x));
  }
  template <class T> RST_HD static T value(T x) { return x * gate(x); }
  template <class T> RST_HD static T slope(T x) {
    const T g = gate(x);
    return g + x * g * (T(1) - g) * T(1.5957691216057308) * (T(1) + T(3 * 0.044715) * x * x);
  }
};

struct Silu {
  static constexpr std::string_view name = "silu";
  using Types = Floats;
  static constexpr Keep keep = Keep::input;
  template <class T> RST_HD static T value(T x) { return x * math::sigmoid(x); }
  template <class T> RST_HD static T slope(T x) {
    const T s = math::sigmoid(x);
    return s * (T(1) + x * (T(1) - s));
  }
};

// Limits to [low, high]; nan stays.
struct Clamp {
  double low, high;
  static constexpr std::string_view name = "clamp";
  using Types = AllNumbers;
  static constexpr Keep keep = Keep::input;
  template <class T> RST_HD T value(T x) const {
    const T above = x < math::saturate<T>(low) ? math::saturate<T>(low) : x;
    return above > math::saturate<T>(high) ? math::saturate<T>(high) : above;
  }
  template <class T> RST_HD T slope(T x) const { return x < T(low) || x > T(high) ? T(0) : T(1); }
};

struct LogicalNot {
  static constexpr std::string_view name = "logical_not";
  using Types = AllTypes;
  template <class T> RST_HD static bool value(T x) { return x == T(0); }
};

using UnaryOps = TypeList<Neg, Exp, Log, Sqrt, Rsqrt, Square, Abs, Sin, Cos, Tanh, Sigmoid, Relu, LeakyRelu, Gelu, GeluTanh,
                          Silu, Clamp, LogicalNot>;

// clang-format on
}  // namespace rstorch::kernels
