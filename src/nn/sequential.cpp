#include "nn/sequential.h"

#include "nn/activation.h"

namespace rstorch::nn {
namespace {

// What `layer` can do on the way, if that is what `next` is.
Activation fused(const Module& layer, const Module& next) {
  if (layer.has_hooks() || next.has_hooks()) return Activation::none;
  if (dynamic_cast<const ReLU*>(&next)) return Activation::relu;
  const auto* const gelu = dynamic_cast<const GELU*>(&next);
  return gelu && gelu->form() == GeluForm::tanh ? Activation::gelu_tanh : Activation::none;
}

}  // namespace

Module& Sequential::push_back(std::unique_ptr<Module> module) { return add(format("{}", size()), std::move(module)); }

Module& Sequential::add(const std::string& name, std::unique_ptr<Module> module) {
  return register_module(name, std::move(module));
}

Tensor Sequential::forward(const Tensor& x) {
  Tensor y = x;
  for (auto child = children().begin(); child != children().end(); ++child) {
    const auto next = std::next(child);
    const Activation activation = next == children().end() ? Activation::none : fused(*child->module, *next->module);
    if (activation == Activation::none) {
      y = (*child->module)(y);
    } else {
      y = child->module->call_with(activation, y);
      child = next;
    }
  }
  return y;
}

}  // namespace rstorch::nn
