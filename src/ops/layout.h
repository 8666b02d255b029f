// Memory layouts that image ops work on without a copy: contiguous [batch, channels, height, width], and channels-last,
// the same shape with the strides of [batch, height, width, channels].
#pragma once

#include "tensor/tensor.h"

namespace rstorch {

inline Strides channels_last_strides(const Shape& shape) {
  const int64_t channels = shape[1], width = shape[3];
  return {shape[2] * width * channels, 1, width * channels, channels};
}

inline bool is_channels_last(const Tensor& x) {
  return x.dim() == 4 && !x.is_contiguous() && x.strides() == channels_last_strides(x.shape());
}

// An uninitialised tensor with the layout of x, which is contiguous or channels-last.
inline Tensor empty_with_layout_of(const Tensor& x) {
  const Tensor y = empty_like(x);
  return is_channels_last(x) ? y.alias(x.shape(), x.strides(), 0) : y;
}

// x, or a contiguous copy of it where it has neither layout.
Tensor dense(const Tensor& x);

}  // namespace rstorch
