#include "optim/ema.h"

#include "autograd/grad_mode.h"
#include "base/error.h"
#include "nn/state_dict.h"

namespace rstorch::optim {

ExponentialMovingAverage::ExponentialMovingAverage(const ParameterArena& arena, double decay)
    : arena_(&arena), decay_(decay) {
  if (!(decay >= 0 && decay <= 1)) {
    throw ArgumentError(format("ExponentialMovingAverage: decay {}, wanted 0 to 1", decay));
  }
  for (const ParameterArena::Block& block : arena.blocks()) {
    averages_.push_back(Tensor::zeros(block.parameters.shape(), block.parameters.options()));
  }
}

void ExponentialMovingAverage::update() {
  const NoGrad no_grad;
  for (size_t i = 0; i < averages_.size(); ++i) {
    const Tensor parameters = arena_->blocks()[i].parameters.detach();
    if (has_begun_)
      averages_[i].lerp_(parameters, 1 - decay_);
    else
      averages_[i].copy_(parameters);
  }
  has_begun_ = true;
}

void ExponentialMovingAverage::swap() {
  if (!has_begun_) return;
  const NoGrad no_grad;
  for (size_t i = 0; i < averages_.size(); ++i) {
    Tensor parameters = arena_->blocks()[i].parameters.detach();
    Tensor kept = arena_->blocks()[i].gradients;
    kept.copy_(parameters);
    parameters.copy_(averages_[i]);
    averages_[i].copy_(kept);
  }
}

std::vector<nn::NamedTensor> ExponentialMovingAverage::state() const {
  std::vector<nn::NamedTensor> out;
  if (!has_begun_) return out;
  for (size_t i = 0; i < averages_.size(); ++i) {
    for (const ParameterArena::Slot& slot : arena_->blocks()[i].slots) {
      const Shape& shape = slot.parameter.shape();
      out.push_back(
          {std::string(kPrefix) + slot.name, averages_[i].alias(shape, contiguous_strides(shape), slot.offset)});
    }
  }
  return out;
}

void ExponentialMovingAverage::load_state(const std::vector<nn::NamedTensor>& state) {
  std::vector<nn::NamedTensor> own;
  for (const nn::NamedTensor& named : state) {
    if (is_state(named.name)) own.push_back(named);
  }
  has_begun_ = !own.empty();
  if (has_begun_) nn::copy_state(this->state(), own, nn::Strict::yes, "averages of weights");
}

}  // namespace rstorch::optim
