#include "nn/residual.h"

#include "ops/ops.h"

namespace rstorch::nn {

Residual::Residual(std::unique_ptr<Module> body, std::unique_ptr<Module> shortcut)
    : body_(register_module("", std::move(body))),
      shortcut_(shortcut ? &register_module("downsample", std::move(shortcut)) : nullptr) {}

Tensor Residual::forward(const Tensor& x) {
  const Tensor y = body_(x);
  return y + (shortcut_ ? (*shortcut_)(x) : x);
}

}  // namespace rstorch::nn
