// GradScaler: dynamic loss scaling, which keeps small gradients of f16 activations from becoming zero (Micikevicius et
// al. 2018). PyTorch's torch.amp.GradScaler, with its formulas and its trajectory of scales.
//
//   scaler.scale(loss).backward();
//   scaler.unscale(gradients);      // only where they are looked at, for clipping
//   scaler.step(optimizer);         // changes nothing where a gradient is infinite or NaN
//   scaler.update();
//
// Scale and counters live on the device: nothing waits for it, and a captured step may hold all of it.
#pragma once

#include <vector>

#include "kernels/optim.h"
#include "nn/module.h"
#include "optim/optimizer.h"

namespace rstorch::optim {

class GradScaler {
 public:
  struct Config {
    double init_scale = 65536;
    double growth_factor = 2;
    double backoff_factor = 0.5;
    int64_t growth_interval = 2000;
  };

  // Throws ArgumentError for a scale or an interval that is not above 0, a growth_factor that is not above 1, a
  // backoff_factor that is not between 0 and 1.
  GradScaler(Device device, const Config& config);
  explicit GradScaler(Device device) : GradScaler(device, Config()) {}

  // In f32: a loss of f16 has no room for it.
  Tensor scale(const Tensor& loss) const;
  // f32, 0-d: what to give loss.backward() in place of 1.
  const Tensor& factor() const { return scale_; }

  // Divides gradients by the scale; to be called once in a step for each.
  void unscale(const std::vector<Tensor>& gradients);
  // bool, 0-d, until update(): a gradient that was unscaled is not finite.
  const Tensor& found_inf() const { return found_; }
  // From now on the optimizer's updates are left out where unscale() found something, as step() has it. One optimizer:
  // ArgumentError for another.
  void guard(Optimizer& optimizer);
  // optimizer.step(), which leaves out all of it where unscale() found something; unscales first what unscale() was not
  // called for. The optimizer's step counts then run ahead of its updates until settle().
  void step(Optimizer& optimizer);
  void update();

  // These wait for the device. settle() makes the optimizer's step counts those of its updates.
  double get_scale() const;
  void settle(Optimizer& optimizer);

  // "grad_scaler/scale", "grad_scaler/growth_tracker"; they share memory with the scaler.
  std::vector<nn::NamedTensor> state() const;
  static bool is_state(std::string_view name) { return name.starts_with("grad_scaler/"); }
  // Names that are not there stay as they are. What was found and left out is forgotten: the optimizer's step counts
  // are to be loaded too.
  void load_state(const std::vector<nn::NamedTensor>& state);

 private:
  kernels::LossScaleRule rule_;
  Tensor scale_;                  // f32
  Tensor growth_;                 // i32: updates since the scale last changed
  Tensor found_;                  // bool
  Tensor left_out_;               // i64: updates left out since settle()
  std::vector<Tensor> unscaled_;  // in this step
  bool guards_ = false;           // an optimizer
};

}  // namespace rstorch::optim
