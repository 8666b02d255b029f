// Gradient clipping. Norms and factors stay on the device; nothing waits for it.
#pragma once

#include <vector>

#include "tensor/tensor.h"

namespace rstorch::optim {

// Scales the gradients in place so that the norm over all of them is at most max_norm; returns the norm before (f64,
// 0-d). For a ParameterArena: arena.gradients(). norm_type: 2, 1, infinity or any other positive number. Gradients
// whose norm is not finite are left as they are.
Tensor clip_norm(const std::vector<Tensor>& gradients, double max_norm, double norm_type = 2);
// Cuts every element to [-clip_value, clip_value].
void clip_value(const std::vector<Tensor>& gradients, double clip_value);
// A bool, 0-d: no element is infinite or NaN.
Tensor all_finite(const std::vector<Tensor>& gradients);

}  // namespace rstorch::optim

namespace rstorch::nn::utils {

// PyTorch's names: the same on the gradients of those parameters that have one.
Tensor clip_grad_norm_(const std::vector<Tensor>& parameters, double max_norm, double norm_type = 2);
void clip_grad_value_(const std::vector<Tensor>& parameters, double clip_value);

}  // namespace rstorch::nn::utils
