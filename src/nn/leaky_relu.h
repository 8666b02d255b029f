// LeakyReLU (Maas et al. 2013): negative inputs keep a small slope.
#pragma once

#include "nn/arguments.h"
#include "nn/layer.h"

namespace rstorch::nn {

class LeakyReLU final : public Module {
 public:
  static constexpr std::string_view kind = "LeakyReLU";
  static constexpr std::string_view help = "x where it is positive, else a small multiple of x.";
  struct Config {
    double negative_slope = 0.01;
    static void describe(auto& field) { field("negative_slope", &Config::negative_slope, "Factor of negative inputs."); }
  };

  explicit LeakyReLU(double negative_slope = 0.01) : negative_slope_(negative_slope) {}
  explicit LeakyReLU(const Config& config) : LeakyReLU(config.negative_slope) {}
  Tensor forward(const Tensor& x) override { return leaky_relu(x, negative_slope_); }

 private:
  double negative_slope_;
};

}  // namespace rstorch::nn
