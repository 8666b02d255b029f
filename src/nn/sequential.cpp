#include "nn/sequential.h"

#include "nn/activation.h"

namespace rstorch::nn {
namespace {

bool fuses(const Module& layer, const Module& next) {
  return !layer.has_hooks() && !next.has_hooks() && dynamic_cast<const ReLU*>(&next) != nullptr;
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
    if (next != children().end() && fuses(*child->module, *next->module)) {
      y = child->module->call_with_relu(y);
      child = next;
    } else {
      y = (*child->module)(y);
    }
  }
  return y;
}

}  // namespace rstorch::nn
