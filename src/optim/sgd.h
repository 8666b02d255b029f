// Stochastic gradient descent, with momentum (Polyak 1964), Nesterov's form (Sutskever et al. 2013) and weight decay.
#pragma once

#include "config/fields.h"
#include "optim/optimizer.h"

namespace rstorch::optim {

class SGD final : public Optimizer {
 public:
  struct Config {
    double lr = 1e-3;
    double momentum = 0;
    double dampening = 0;
    double weight_decay = 0;
    bool nesterov = false;
    bool maximize = false;
    static void describe(auto& field) {
      field("lr", &Config::lr, "Step size.", non_negative);
      field("momentum", &Config::momentum, "Part of the last step that is kept.", non_negative);
      field("dampening", &Config::dampening, "Part of the gradient that momentum leaves out.");
      field("weight_decay", &Config::weight_decay, "Decay, added to the gradient.", non_negative);
      field("nesterov", &Config::nesterov, "Look ahead along the momentum; needs momentum and no dampening.");
      field("maximize", &Config::maximize, "Climb instead of descending.");
    }
    void validate(const config::Value& at, config::Report& report) const;
  };

  explicit SGD(const std::vector<Tensor>& parameters) : SGD(parameters, Config()) {}
  SGD(const std::vector<Tensor>& parameters, const Config& config) { add_param_group(parameters, config); }
  void add_param_group(const std::vector<Tensor>& parameters, const Config& config);
};

}  // namespace rstorch::optim
