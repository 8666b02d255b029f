#include "optim/grad_scaler.h"

#include <algorithm>

#include "autograd/grad_mode.h"
#include "base/error.h"
#include "tensor/runtime.h"

namespace rstorch::optim {
namespace {

constexpr const char* kScale = "grad_scaler/scale";
constexpr const char* kGrowth = "grad_scaler/growth_tracker";

void require(bool holds, std::string_view name, double value, std::string_view wanted) {
  if (!holds) throw ArgumentError(format("GradScaler: {} is {}, wanted {}", name, value, wanted));
}

// Whether `part` begins in the memory of `whole`: it may be a rank's share of it.
bool lies_in(const Tensor& whole, const Tensor& part) {
  const auto* const begin = static_cast<const char*>(whole.raw_data());
  const auto* const at = static_cast<const char*>(part.raw_data());
  return at >= begin && at < begin + whole.bytes();
}

}  // namespace

GradScaler::GradScaler(Device device, const Config& config)
    : rule_{config.growth_factor, config.backoff_factor, config.growth_interval},
      scale_(Tensor::full({}, config.init_scale, {DType::f32, device})),
      growth_(Tensor::zeros({}, {DType::i32, device})),
      found_(Tensor::zeros({}, {DType::boolean, device})),
      left_out_(Tensor::zeros({}, {DType::i64, device})) {
  require(config.init_scale > 0, "init_scale", config.init_scale, "more than 0");
  require(config.growth_factor > 1, "growth_factor", config.growth_factor, "more than 1");
  require(config.backoff_factor > 0 && config.backoff_factor < 1, "backoff_factor", config.backoff_factor,
          "between 0 and 1");
  require(config.growth_interval > 0, "growth_interval", double(config.growth_interval), "at least 1");
}

Tensor GradScaler::scale(const Tensor& loss) const { return loss.to(DType::f32).clone().mul_(scale_); }

void GradScaler::unscale(const std::vector<Tensor>& gradients) {
  const NoGrad no_grad;
  for (Tensor gradient : gradients) {
    const Tensor values = gradient.contiguous();
    kernels::unscale(current_stream(values.device()), scale_.view(), found_.mutable_view(), values.mutable_view());
    if (!values.is_same(gradient)) gradient.copy_(values);
    unscaled_.push_back(gradient);
  }
}

void GradScaler::guard(Optimizer& optimizer) {
  if (optimizer.leave_out().is_same(found_)) return;
  if (guards_)
    throw ArgumentError("GradScaler: it serves another optimizer", "give each optimizer a scaler of its own");
  optimizer.set_leave_out(found_, left_out_);
  guards_ = true;
}

void GradScaler::step(Optimizer& optimizer) {
  std::vector<Tensor> scaled = optimizer.gradients();
  std::erase_if(scaled, [this](const Tensor& gradient) {
    return std::ranges::any_of(unscaled_, [&](const Tensor& done) { return lies_in(done, gradient); });
  });
  unscale(scaled);
  guard(optimizer);
  optimizer.step();
}

void GradScaler::update() {
  kernels::update_loss_scale(current_stream(scale_.device()), rule_, found_.mutable_view(), scale_.mutable_view(),
                             growth_.mutable_view(), left_out_.mutable_view());
  unscaled_.clear();
}

double GradScaler::get_scale() const { return scale_.item(); }

void GradScaler::settle(Optimizer& optimizer) {
  const int64_t count = left_out_.item<int64_t>();
  if (count == 0) return;
  optimizer.take_back_steps(count);
  left_out_.zero_();
}

std::vector<nn::NamedTensor> GradScaler::state() const { return {{kScale, scale_}, {kGrowth, growth_}}; }

void GradScaler::load_state(const std::vector<nn::NamedTensor>& state) {
  const NoGrad no_grad;
  found_.zero_();
  left_out_.zero_();
  unscaled_.clear();
  for (const auto& [name, tensor] : state) {
    if (name == kScale) scale_.copy_(tensor);
    if (name == kGrowth) growth_.copy_(tensor);
  }
}

}  // namespace rstorch::optim
