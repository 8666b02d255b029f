// Dropout (Srivastava et al. 2014): in training, zeroes elements at random and scales the rest.
#pragma once

#include "nn/arguments.h"
#include "nn/layer.h"
#include "nn/random_scope.h"

namespace rstorch::nn {

class Dropout final : public Module {
 public:
  static constexpr std::string_view kind = "Dropout";
  static constexpr std::string_view help = "In training, zeroes elements at random and scales the rest.";
  struct Config {
    double p = 0.5;
    static void describe(auto& field) { field("p", &Config::p, "Probability of zeroing.", in_range(0.0, 1.0)); }
  };

  explicit Dropout(double p = 0.5) : p_(p) {
    if (!(p >= 0 && p <= 1)) throw ArgumentError(format("Dropout: p is {}, wanted 0 to 1", p));
  }
  explicit Dropout(const Config& config) : Dropout(config.p) {}
  Tensor forward(const Tensor& x) override {
    return is_training() && p_ > 0 ? dropout(x, p_, RandomScope::dropout_key(layer_number_)) : x;
  }
  // Which of a model's random layers this is; see number_layers().
  void set_layer_number(uint32_t number) { layer_number_ = number; }

 private:
  double p_;
  uint32_t layer_number_ = 0;
};

}  // namespace rstorch::nn
