// Residual (He et al. 2015): body(x) + shortcut(x). The body's parameters have the names they have in the body; the
// shortcut's begin with "downsample", as torchvision's.
#pragma once

#include <memory>

#include "nn/module.h"

namespace rstorch::nn {

class Residual final : public Module {
 public:
  // shortcut: null for x itself
  explicit Residual(std::unique_ptr<Module> body, std::unique_ptr<Module> shortcut = nullptr);
  Tensor forward(const Tensor& x) override;

 private:
  Module& body_;
  Module* shortcut_;
};

}  // namespace rstorch::nn
