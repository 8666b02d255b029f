#include "train/layer_timer.h"

#include "tensor/runtime.h"

namespace rstorch {

LayerTimer::LayerTimer(nn::Module& model, Device device) : device_(device) {
  model.visit([this](const std::string& path, nn::Module& module) {
    if (!module.children().empty()) return;
    module.register_forward_pre_hook([this](nn::Module&, const Tensor&) { forward_begin_ = now(); });
    module.register_forward_hook([this, path](nn::Module&, const Tensor&, const Tensor& output) {
      forward_[path] += std::chrono::duration<double>(now() - forward_begin_).count();
      if (!output.requires_grad()) return;
      output.register_hook([this, path](const Tensor&) {
        backward_events_.push_back({path, now()});
        return Tensor();
      });
    });
  });
}

void LayerTimer::end_step() {
  backward_events_.push_back({"", now()});
  std::map<std::string, double> backward;
  for (size_t i = 0; i + 1 < backward_events_.size(); ++i) {
    const double seconds =
        std::chrono::duration<double>(backward_events_[i + 1].time - backward_events_[i].time).count();
    backward[backward_events_[i].path] += seconds;
  }
  for (const auto& [path, seconds] : forward_) {
    times_[path].forward.push_back(seconds);
    times_[path].backward.push_back(backward[path]);
  }
  backward_events_.clear();
  forward_.clear();
}

Clock::time_point LayerTimer::now() const {
  current_stream(device_).synchronize();
  return Clock::now();
}

}  // namespace rstorch
