// Activations: modules around the functions of ops.h.
#pragma once

#include "config/fields.h"
#include "nn/arguments.h"
#include "nn/layer.h"

namespace rstorch::nn {

class ReLU final : public Module {
 public:
  static constexpr std::string_view kind = "ReLU";
  static constexpr std::string_view help = "max(x, 0).";
  Tensor forward(const Tensor& x) override { return relu(x); }
};

class SiLU final : public Module {
 public:
  static constexpr std::string_view kind = "SiLU";
  static constexpr std::string_view help = "x sigmoid(x), also called swish.";
  Tensor forward(const Tensor& x) override { return silu(x); }
};

class Tanh final : public Module {
 public:
  static constexpr std::string_view kind = "Tanh";
  static constexpr std::string_view help = "Hyperbolic tangent.";
  Tensor forward(const Tensor& x) override { return tanh(x); }
};

class Sigmoid final : public Module {
 public:
  static constexpr std::string_view kind = "Sigmoid";
  static constexpr std::string_view help = "1 / (1 + exp(-x)).";
  Tensor forward(const Tensor& x) override { return sigmoid(x); }
};

enum class GeluForm { none, tanh };
constexpr auto names_of(GeluForm) {
  return config::names<GeluForm>({{GeluForm::none, "none"}, {GeluForm::tanh, "tanh"}});
}

class GELU final : public Module {
 public:
  static constexpr std::string_view kind = "GELU";
  static constexpr std::string_view help = "x times the normal distribution function of x.";
  struct Config {
    GeluForm approximate = GeluForm::none;
    static void describe(auto& field) { field("approximate", &Config::approximate, "Exact (none) or by tanh."); }
  };
  GELU() = default;
  explicit GELU(const Config& config) : approximate_(config.approximate) {}
  Tensor forward(const Tensor& x) override { return approximate_ == GeluForm::tanh ? gelu_tanh(x) : gelu(x); }
  GeluForm form() const { return approximate_; }

 private:
  GeluForm approximate_ = GeluForm::none;
};

class Softmax final : public Module {
 public:
  static constexpr std::string_view kind = "Softmax";
  static constexpr std::string_view help = "exp(x) over its sum, along one axis.";
  struct Config {
    int dim = -1;
    static void describe(auto& field) { field("dim", &Config::dim, "Axis; 0 is the batch, -1 the last."); }
  };
  explicit Softmax(int dim) : dim_(dim) {}
  explicit Softmax(const Config& config) : dim_(config.dim) {}
  Tensor forward(const Tensor& x) override { return softmax(x, dim_); }

 private:
  int dim_;
};

class LogSoftmax final : public Module {
 public:
  static constexpr std::string_view kind = "LogSoftmax";
  static constexpr std::string_view help = "Logarithm of softmax.";
  using Config = Softmax::Config;
  explicit LogSoftmax(int dim) : dim_(dim) {}
  explicit LogSoftmax(const Config& config) : dim_(config.dim) {}
  Tensor forward(const Tensor& x) override { return log_softmax(x, dim_); }

 private:
  int dim_;
};

}  // namespace rstorch::nn
