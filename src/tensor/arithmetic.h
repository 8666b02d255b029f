// The little arithmetic that autograd itself needs. Not recorded. Shapes must be equal.
#pragma once

#include "tensor/tensor.h"

namespace rstorch {

const Tensor& add_into(const Tensor& into, const Tensor& x);   // into += x; returns into
Tensor add_new(const Tensor& a, const Tensor& b);
void copy_into(const Tensor& into, const Tensor& x);           // any strides, any dtype
Tensor copy_new(const Tensor& x);                              // contiguous

}  // namespace rstorch
