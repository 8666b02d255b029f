// Layer normalisation (Ba et al. 2016): over the last axes of each sample.
#pragma once

#include "nn/arguments.h"
#include "nn/layer.h"

namespace rstorch::nn {

class LayerNorm final : public Module {
 public:
  static constexpr std::string_view kind = "LayerNorm";
  static constexpr std::string_view help = "Normalises over the last axes of each sample.";
  struct Config {
    std::optional<Sizes> normalized_shape = {};
    double eps = 1e-5;
    bool elementwise_affine = true;
    bool bias = true;
    static void describe(auto& field) {
      field("normalized_shape", &Config::normalized_shape,
            "Sizes of the axes to normalise over; inferred: the last one.", each(positive));
      field("eps", &Config::eps, "Added to the variance.", positive);
      field("elementwise_affine", &Config::elementwise_affine, "Scale each element by a learnt number.");
      field("bias", &Config::bias, "Shift each element too; only with elementwise_affine.");
    }
    void infer(Inference& input);
  };

  explicit LayerNorm(Sizes normalized_shape) : LayerNorm(Config{std::move(normalized_shape)}) {}
  explicit LayerNorm(const Config& config);
  Tensor forward(const Tensor& x) override { return layer_norm(x, normalized_shape_, weight, bias, eps_); }
  void reset_parameters() override;

  Tensor& weight;  // [normalized_shape], or undefined
  Tensor& bias;    // [normalized_shape], or undefined

 private:
  Shape normalized_shape_;
  double eps_;
};

}  // namespace rstorch::nn
