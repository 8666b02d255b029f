#include "optim/sgd.h"

namespace rstorch::optim {
namespace {

constexpr const char* kNesterovRule = "nesterov wants momentum above 0 and dampening 0";

bool nesterov_fits(const SGD::Config& config) {
  return !config.nesterov || (config.momentum > 0 && config.dampening == 0);
}

kernels::Momentum momentum_of(const SGD::Config& config) {
  if (config.momentum == 0) return kernels::Momentum::none;
  return config.nesterov ? kernels::Momentum::nesterov : kernels::Momentum::heavy_ball;
}

}  // namespace

void SGD::Config::validate(const config::Value& at, config::Report& report) const {
  if (nesterov_fits(*this)) return;
  report.error(config::Code::conflict, kNesterovRule)
      .entry(at.has("nesterov") ? at.at("nesterov") : at)
      .help(momentum > 0 ? "leave out dampening, or nesterov" : "write momentum: 0.9 beside it, or leave out nesterov");
}

void SGD::add_param_group(const std::vector<Tensor>& parameters, const Config& config) {
  if (!nesterov_fits(config)) throw ArgumentError(format("SGD: {}", kNesterovRule));
  const kernels::Momentum momentum = momentum_of(config);
  Group group;
  group.settings.lr = config.lr;
  group.settings.weight_decay = config.weight_decay;
  group.settings.grad_scale = config.maximize ? -1 : 1;
  group.settings.momentum = config.momentum;
  group.settings.dampening = config.dampening;
  if (momentum != kernels::Momentum::none) group.state_names = {"momentum_buffer"};
  group.update = [momentum](Stream& stream, const kernels::OptimScalars* scalars, ConstView dw, View w,
                            std::span<const View> state) {
    kernels::sgd_step(stream, momentum, scalars, dw, w, state.empty() ? View() : state[0]);
  };
  add_group(parameters, std::move(group));
}

}  // namespace rstorch::optim
