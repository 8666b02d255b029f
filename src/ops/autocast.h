// Autocast: mixed precision by PyTorch's rules (torch.autocast), for tensors on CUDA.
//
//   Tensor loss;
//   {
//     const Autocast autocast(DType::bf16);
//     loss = criterion(model(x), y);
//   }
//   loss.backward();
//
// While it lives, operations of this thread choose the dtype they compute in: matrix products and convolutions the
// lower one, exponentials, sums, normalisation over features, softmax and losses f32, all others that of their inputs.
// Parameters stay as they are, in f32: casts are recorded, and gradients come back in the parameter's dtype. f64 is
// left alone, and so are tensors elsewhere than on CUDA.
#pragma once

#include "tensor/tensor.h"

namespace rstorch {

class Autocast {
 public:
  // bf16 or f16; f32 switches it off inside another one. Throws ArgumentError for others.
  explicit Autocast(DType lower);
  ~Autocast();
  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;

 private:
  DType previous_;
};

// For op functions: x as autocast wants it for what gains from the lower precision, and for what needs f32. x itself,
// defined or not, where there is nothing to change.
Tensor in_lower_precision(const Tensor& x);
Tensor in_full_precision(const Tensor& x);
// The dtype of the latter.
DType full_precision_of(DType dtype, Device device);

}  // namespace rstorch
