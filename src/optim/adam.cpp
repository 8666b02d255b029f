#include "optim/adam.h"

namespace rstorch::optim {

template <kernels::WeightDecay decay>
void AdamOf<decay>::add_param_group(const std::vector<Tensor>& parameters, const Config& config) {
  Group group;
  group.settings.lr = config.lr;
  group.settings.weight_decay = config.weight_decay;
  group.settings.grad_scale = config.maximize ? -1 : 1;
  group.settings.beta1 = config.betas[0];
  group.settings.beta2 = config.betas[1];
  group.settings.eps = config.eps;
  group.state_names = {"exp_avg", "exp_avg_sq"};
  if (config.amsgrad) group.state_names.push_back("max_exp_avg_sq");
  group.update = [](Stream& stream, const kernels::OptimScalars* scalars, ConstView dw, View w,
                    std::span<const View> state) {
    kernels::adam_step(stream, decay, scalars, dw, w, state[0], state[1], state.size() > 2 ? state[2] : View());
  };
  add_group(parameters, std::move(group));
}

template class AdamOf<kernels::WeightDecay::coupled>;
template class AdamOf<kernels::WeightDecay::decoupled>;

}  // namespace rstorch::optim
