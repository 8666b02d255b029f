#include "nn/module.h"

#include <algorithm>
#include <unordered_set>

#include "autograd/grad_mode.h"
#include "autograd/meta.h"
#include "nn/placement.h"
#include "nn/state_dict.h"

namespace rstorch::nn {
namespace {

enum class Parts { parameters, buffers, all };

void append_defined(const std::list<NamedTensor>& tensors, const std::string& path, std::vector<NamedTensor>& out) {
  for (const auto& [name, tensor] : tensors) {
    if (tensor.defined()) out.push_back({join_path(path, name), tensor});
  }
}

// The tensors of a module and of all below it, parents first.
void collect(const Module& module, const std::string& path, Parts parts, std::vector<NamedTensor>& out) {
  if (parts != Parts::buffers) append_defined(module.own_parameters(), path, out);
  if (parts != Parts::parameters) append_defined(module.own_buffers(), path, out);
  for (const Module::Child& child : module.children()) collect(*child.module, join_path(path, child.name), parts, out);
}

std::vector<NamedTensor> collect(const Module& module, Parts parts) {
  std::vector<NamedTensor> out;
  collect(module, "", parts, out);
  return out;
}

std::vector<NamedTensor> without_duplicates(std::vector<NamedTensor> tensors) {
  std::unordered_set<const void*> seen;
  std::erase_if(tensors, [&](const NamedTensor& named) { return !seen.insert(named.tensor.impl().get()).second; });
  return tensors;
}

// Gives the tensor and its gradient other memory; who holds the tensor sees it.
template <class Target>
void move_tensor(const Tensor& tensor, Target target) {
  const NoGrad no_grad;
  tensor.set_data(tensor.to(target));
  if (const Tensor grad = tensor.grad(); grad.defined()) autograd_meta(tensor).grad = grad.to(target);
}

}  // namespace

std::string join_path(const std::string& parent, const std::string& name) {
  if (parent.empty() || name.empty()) return parent + name;
  return parent + "." + name;
}

Tensor Module::operator()(const Tensor& x) {
  return with_path([&] {
    for (const PreHook& hook : pre_hooks_) hook(*this, x);
    Tensor y = forward(x);
    for (const Hook& hook : hooks_) hook(*this, x, y);
    return y;
  });
}

Tensor Module::call_with(Activation activation, const Tensor& x) {
  return with_path([&] { return forward_with(activation, x); });
}

Tensor Module::forward_with(Activation activation, const Tensor& x) {
  const Tensor y = forward(x);
  switch (activation) {
    case Activation::none:
      break;
    case Activation::relu:
      return relu(y);
    case Activation::gelu_tanh:
      return gelu_tanh(y);
  }
  return y;
}

template <class F>
Tensor Module::with_path(F&& run) const {
  try {
    return run();
  } catch (Error& error) {
    if (!name_.empty()) error.prepend_module(name_);
    throw;
  }
}

std::vector<NamedTensor> Module::named_parameters() const {
  return without_duplicates(collect(*this, Parts::parameters));
}

std::vector<NamedTensor> Module::named_buffers() const { return without_duplicates(collect(*this, Parts::buffers)); }

StateDict Module::state_dict() const {
  StateDict out = collect(*this, Parts::all);
  for (NamedTensor& named : out) named.tensor = named.tensor.detach();
  return out;
}

std::vector<Tensor> Module::parameters() const {
  std::vector<Tensor> out;
  for (NamedTensor& named : named_parameters()) out.push_back(std::move(named.tensor));
  return out;
}

int64_t Module::parameter_count() const {
  int64_t count = 0;
  for (const Tensor& parameter : parameters()) count += parameter.numel();
  return count;
}

LoadResult Module::load_state_dict(const StateDict& dict, Strict strict) {
  return copy_state(state_dict(), dict, strict, "load_state_dict");
}

void Module::zero_grad() {
  for (Tensor& parameter : parameters()) parameter.zero_grad();
}

void Module::train() { set_training(true); }
void Module::eval() { set_training(false); }

void Module::set_training(bool training) {
  apply([training](Module& module) { module.training_ = training; });
}

void Module::to(Device device) {
  for (const NamedTensor& named : named_parameters()) move_tensor(named.tensor, device);
  for (const NamedTensor& named : named_buffers()) move_tensor(named.tensor, device);
}

void Module::to(DType dtype) {
  if (!is_floating(dtype)) throw DTypeError(format("to: a module cannot become {}", name_of(dtype)), "use f32 or f64");
  for (const NamedTensor& named : named_parameters()) move_tensor(named.tensor, dtype);
  for (const NamedTensor& named : named_buffers()) {
    if (is_floating(named.tensor.dtype())) move_tensor(named.tensor, dtype);
  }
}

void Module::visit(const std::function<void(const std::string& path, Module& module)>& f) { visit_below("", f); }

void Module::visit_below(const std::string& path, const std::function<void(const std::string&, Module&)>& f) {
  f(path, *this);
  for (const Child& child : children_) child.module->visit_below(join_path(path, child.name), f);
}

void Module::apply(const std::function<void(Module& module)>& f) {
  visit([&f](const std::string&, Module& module) { f(module); });
}

Tensor& Module::register_parameter(const std::string& name, const Shape& shape) {
  const Placement& placement = current_placement();
  Tensor tensor = Tensor::empty(shape, {placement.dtype, placement.device, true});
  return register_parameter(name, std::move(tensor));
}

Tensor& Module::register_parameter(const std::string& name, Tensor tensor) {
  check_name(name);
  if (tensor.defined()) tensor.set_requires_grad(true);
  return parameters_.emplace_back(NamedTensor{name, std::move(tensor)}).tensor;
}

Tensor& Module::register_parameter_if(bool wanted, const std::string& name, const Shape& shape) {
  return wanted ? register_parameter(name, shape) : register_parameter(name, Tensor());
}

Tensor& Module::register_buffer(const std::string& name, Tensor tensor) {
  check_name(name);
  return buffers_.emplace_back(NamedTensor{name, std::move(tensor)}).tensor;
}

Module& Module::register_module(const std::string& name, std::unique_ptr<Module> module) {
  if (!name.empty()) check_name(name);
  module->name_ = name;
  return *children_.emplace_back(Child{name, std::move(module)}).module;
}

void Module::check_name(const std::string& name) const {
  if (name.empty() || name.find('.') != std::string::npos) {
    throw ArgumentError(format("register: `{}` is no name for a part of a module", name), "a name has no dots");
  }
  const auto is_name = [&name](const auto& part) { return part.name == name; };
  if (std::any_of(parameters_.begin(), parameters_.end(), is_name) ||
      std::any_of(buffers_.begin(), buffers_.end(), is_name) ||
      std::any_of(children_.begin(), children_.end(), is_name)) {
    throw ArgumentError(format("register: the module has a part named `{}` already", name));
  }
}

}  // namespace rstorch::nn
