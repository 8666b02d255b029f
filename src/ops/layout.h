// The two memory layouts that image ops work on without a copy: contiguous [batch, channels, height, width], and
// channels-last, the same shape with the strides of [batch, height, width, channels].
//
// Convolutions give channels-last images, which CPU and GPU libraries compute fastest; pooling, normalisation and
// elementwise ops keep the layout of their input.
#pragma once

#include <cstdint>

#include "tensor/tensor.h"

namespace rstorch {

enum class Layout : uint8_t { contiguous, channels_last };

inline Strides channels_last_strides(const Shape& shape) {
  const int64_t channels = shape[1], width = shape[3];
  return {shape[2] * width * channels, 1, width * channels, channels};
}

inline bool is_channels_last(const Tensor& x) {
  return x.dim() == 4 && !x.is_contiguous() && x.strides() == channels_last_strides(x.shape());
}
inline Layout layout_of(const Tensor& x) { return is_channels_last(x) ? Layout::channels_last : Layout::contiguous; }

// An uninitialised tensor. `shape` has 4 dimensions where `layout` is channels-last.
Tensor empty_image(const Shape& shape, const TensorOptions& options, Layout layout);

// An uninitialised tensor with the layout of x, which is contiguous or channels-last.
Tensor empty_with_layout_of(const Tensor& x);

// x, or a copy of it where it has another layout. Not recorded by autograd.
Tensor in_layout(const Tensor& x, Layout layout);

// x, or a contiguous copy of it where it has neither layout. Not recorded by autograd.
Tensor dense(const Tensor& x);

}  // namespace rstorch
