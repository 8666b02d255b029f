// Initial values of parameters: torch.nn.init. Every function fills a contiguous floating tensor in place, unrecorded,
// and does nothing on the meta device.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/random_key.h"
#include "config/fields.h"
#include "config/registry.h"
#include "tensor/tensor.h"

namespace rstorch::nn::init {

enum class FanMode { fan_in, fan_out };
constexpr auto names_of(FanMode) {
  return config::names<FanMode>({{FanMode::fan_in, "fan_in"}, {FanMode::fan_out, "fan_out"}});
}
enum class Nonlinearity { linear, sigmoid, tanh, relu, leaky_relu, selu };
constexpr auto names_of(Nonlinearity) {
  using enum Nonlinearity;
  return config::names<Nonlinearity>({{linear, "linear"},
                                      {sigmoid, "sigmoid"},
                                      {tanh, "tanh"},
                                      {relu, "relu"},
                                      {leaky_relu, "leaky_relu"},
                                      {selu, "selu"}});
}
// `a`: the negative slope of leaky_relu.
double calculate_gain(Nonlinearity nonlinearity, double a = 0);

struct Fans {
  int64_t in = 0;
  int64_t out = 0;
};
// Inputs and outputs that a weight [out, in, ...] connects. Throws ShapeError below two dimensions.
Fans fans_of(const Shape& weight);

struct Kaiming {
  double a = 0;
  FanMode mode = FanMode::fan_in;
  Nonlinearity nonlinearity = Nonlinearity::leaky_relu;
};
struct TruncNormal {
  double mean = 0, std = 1;
  double a = -2, b = 2;  // values lie between them
};

void zeros_(const Tensor& x);
void ones_(const Tensor& x);
void constant_(const Tensor& x, double value);
void uniform_(const Tensor& x, double low = 0, double high = 1);
void normal_(const Tensor& x, double mean = 0, double std = 1);
void trunc_normal_(const Tensor& x, const TruncNormal& options = {});
void kaiming_uniform_(const Tensor& x, const Kaiming& options = {});
void kaiming_normal_(const Tensor& x, const Kaiming& options = {});
void xavier_uniform_(const Tensor& x, double gain = 1);
void xavier_normal_(const Tensor& x, double gain = 1);
// Rows (or columns, whichever are fewer) of the matrix [out, rest] are orthonormal, times gain.
void orthogonal_(const Tensor& x, double gain = 1);

// The initial values of Linear and Conv2d: weight and bias uniform within 1 / sqrt(fan_in).
void default_weight_and_bias_(const Tensor& weight, const Tensor& bias);

// While it lives, draws on this thread are keyed (seed, Purpose::init, layer), one layer number per draw from
// `first_layer` on, so that a parameter's values depend on nothing but its number. Without one the default generator is
// used.
class KeyedScope {
 public:
  KeyedScope(uint64_t seed, uint32_t first_layer);
  ~KeyedScope();
  KeyedScope(const KeyedScope&) = delete;
  KeyedScope& operator=(const KeyedScope&) = delete;

 private:
  friend RandomKey next_key();
  RandomKey key_;
  KeyedScope* previous_;
};

// An initialiser that a config can name: `kaiming_normal: {mode: fan_out}`.
class Initializer {
 public:
  virtual ~Initializer() = default;
  virtual void apply(const Tensor& x) const = 0;
};
using InitializerRegistry = config::Registry<Initializer>;
const InitializerRegistry& initializers();

}  // namespace rstorch::nn::init
