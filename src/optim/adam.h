// Adam (Kingma & Ba 2015) and AdamW (Loshchilov & Hutter 2019), with AMSGrad (Reddi et al. 2018).
#pragma once

#include <array>

#include "config/fields.h"
#include "optim/optimizer.h"

namespace rstorch::optim {

// The two differ in what weight decay does and how much of it there is by default.
template <kernels::WeightDecay decay>
class AdamOf final : public Optimizer {
 public:
  struct Config {
    double lr = 1e-3;
    std::array<double, 2> betas = {0.9, 0.999};
    double eps = 1e-8;
    double weight_decay = decay == kernels::WeightDecay::decoupled ? 1e-2 : 0;
    bool amsgrad = false;
    bool maximize = false;
    static void describe(auto& field) {
      field("lr", &Config::lr, "Step size.", non_negative);
      field("betas", &Config::betas, "Decay of the gradient and squared-gradient averages.",
            each(in_half_open(0.0, 1.0)));
      field("eps", &Config::eps, "Added to the denominator.", non_negative);
      field("weight_decay", &Config::weight_decay,
            decay == kernels::WeightDecay::decoupled ? "Decoupled decay, times lr." : "Decay, added to the gradient.",
            non_negative);
      field("amsgrad", &Config::amsgrad, "Divide by the largest average so far.");
      field("maximize", &Config::maximize, "Climb instead of descending.");
    }
  };

  explicit AdamOf(const std::vector<Tensor>& parameters) : AdamOf(parameters, Config()) {}
  AdamOf(const std::vector<Tensor>& parameters, const Config& config) { add_param_group(parameters, config); }
  void add_param_group(const std::vector<Tensor>& parameters, const Config& config);
};

using Adam = AdamOf<kernels::WeightDecay::coupled>;
using AdamW = AdamOf<kernels::WeightDecay::decoupled>;

}  // namespace rstorch::optim
