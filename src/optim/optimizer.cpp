#include "optim/optimizer.h"

#include <algorithm>

#include "autograd/grad_mode.h"
#include "base/error.h"
#include "tensor/arithmetic.h"
#include "tensor/runtime.h"

namespace rstorch::optim {
namespace {

// A contiguous tensor as one array.
View flat_view(const Tensor& x) {
  View view = x.mutable_view();
  view.shape = {x.numel()};
  view.strides = {1};
  return view;
}

void check_parameter(const Tensor& parameter, const std::vector<Optimizer::Group>& groups) {
  if (!parameter.defined() || !parameter.is_leaf() || !parameter.requires_grad()) {
    throw ArgumentError("optimizer: a parameter must be a leaf that requires grad", "pass model.parameters()");
  }
  if (!parameter.is_contiguous()) throw ArgumentError("optimizer: a parameter must be contiguous");
  for (const Optimizer::Group& group : groups) {
    for (const Optimizer::Slot& slot : group.slots) {
      if (slot.parameter.is_same(parameter)) throw ArgumentError("optimizer: a parameter is there twice");
    }
  }
}

void make_state(Optimizer::Slot& slot, size_t count) {
  while (slot.state.size() < count) slot.state.push_back(zeros_like(slot.parameter));
}

}  // namespace

void Optimizer::add_group(const std::vector<Tensor>& parameters, Group group) {
  groups_.push_back(std::move(group));
  for (const Tensor& parameter : parameters) {
    check_parameter(parameter, groups_);
    groups_.back().slots.push_back({parameter, {}, 0});
  }
  if (groups_.size() == 1) lr_ = groups_[0].settings.lr;
}

void Optimizer::add_groups(Optimizer&& other) {
  for (Group& group : other.groups_) {
    std::vector<Slot> slots = std::move(group.slots);
    group.slots.clear();
    groups_.push_back(std::move(group));
    for (Slot& slot : slots) {
      check_parameter(slot.parameter, groups_);
      groups_.back().slots.push_back(std::move(slot));
    }
  }
  other.groups_.clear();
}

void Optimizer::zero_grad() {
  for (Group& group : groups_) {
    for (Slot& slot : group.slots) slot.parameter.zero_grad();
  }
}

std::vector<Optimizer::Group>& Optimizer::groups_with_state() {
  for (Group& group : groups_) {
    for (Slot& slot : group.slots) make_state(slot, group.state_names.size());
  }
  return groups_;
}

double Optimizer::lr_of(const Group& group) const {
  const double first = groups_[0].settings.lr;
  return first == 0 ? lr_ : lr_ * (group.settings.lr / first);
}

void Optimizer::set_leave_out(const Tensor& leave_out, const Tensor& left_out) {
  leave_out_ = leave_out;
  left_out_ = left_out;
}

void Optimizer::take_back_steps(int64_t count) {
  for (Group& group : groups_) {
    for (Slot& slot : group.slots) slot.steps = std::max<int64_t>(slot.steps - count, 0);
  }
}

std::vector<Tensor> Optimizer::gradients() const {
  std::vector<Tensor> out;
  for (const Group& group : groups_) {
    for (const Slot& slot : group.slots) {
      if (const Tensor gradient = slot.parameter.grad(); gradient.defined()) out.push_back(gradient);
    }
  }
  return out;
}

void Optimizer::step() {
  const NoGrad no_grad;
  struct Update {
    const Group* group;
    const Slot* slot;
    Tensor gradient;
  };
  std::vector<Update> updates;
  scalars_.clear();
  for (Group& group : groups_) {
    for (Slot& slot : group.slots) {
      const Tensor gradient = slot.parameter.grad();
      if (!gradient.defined()) continue;
      make_state(slot, group.state_names.size());
      kernels::OptimScalars& scalars = scalars_.emplace_back(group.settings);
      scalars.lr = lr_of(group);
      scalars.grad_scale *= grad_scale_;
      scalars.step = ++slot.steps;
      if (leave_out_.defined()) {
        scalars.leave_out = static_cast<const bool*>(leave_out_.raw_data());
        scalars.left_out = static_cast<const int64_t*>(left_out_.raw_data());
      }
      updates.push_back({&group, &slot, gradient.is_contiguous() ? gradient : copy_new(gradient)});
    }
  }
  const kernels::OptimScalars* const scalars = device_scalars(updates.empty() ? kCPU : updates[0].gradient.device());
  for (size_t i = 0; i < updates.size(); ++i) {
    const auto& [group, slot, gradient] = updates[i];
    std::vector<View> state;
    for (const Tensor& tensor : slot->state) state.push_back(flat_view(tensor));
    Stream& stream = current_stream(slot->parameter.device());
    group->update(stream, scalars + i, flat_view(gradient), flat_view(slot->parameter), state);
    slot->parameter.impl()->storage->bump_version();
  }
}

const kernels::OptimScalars* Optimizer::device_scalars(Device device) {
  if (!device.is_cuda()) return scalars_.data();
  const size_t bytes = scalars_.size() * sizeof(kernels::OptimScalars);
  if (!device_scalars_.defined() || device_scalars_.bytes() != bytes || device_scalars_.device() != device) {
    device_scalars_ = Tensor::empty({int64_t(bytes)}, {DType::u8, device});
  }
  current_stream(device).copy_bytes(device_scalars_.raw_data(), scalars_.data(), bytes);
  return static_cast<const kernels::OptimScalars*>(device_scalars_.raw_data());
}

}  // namespace rstorch::optim
