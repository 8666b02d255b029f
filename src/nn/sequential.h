// Sequential: modules one after the other.
//
//   nn::Sequential model(nn::Linear(784, 128), nn::ReLU(), nn::Linear(128, 10));
//
// A layer that a ReLU or a GELU by tanh follows runs fused with it where it can (Linear; Conv2d with ReLU), which
// changes no keys, and no values but for the rounding of GELU in half precision.
#pragma once

#include <concepts>

#include "nn/module.h"

namespace rstorch::nn {

class Sequential final : public Module {
 public:
  Sequential() = default;
  template <std::derived_from<Module>... Modules>
  requires(sizeof...(Modules) > 1 ||
           (!std::same_as<Modules, Sequential> && ...)) explicit Sequential(Modules... modules) {
    (push_back(std::make_unique<Modules>(std::move(modules))), ...);
  }
  // Under the next index: "0", "1", ...
  Module& push_back(std::unique_ptr<Module> module);
  // Under a name; an empty one adds no level to keys.
  Module& add(const std::string& name, std::unique_ptr<Module> module);

  Tensor forward(const Tensor& x) override;
  size_t size() const { return children().size(); }
};

}  // namespace rstorch::nn
