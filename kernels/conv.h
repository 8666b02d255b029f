// 2-D convolution (cross-correlation, as in every deep-learning library). f32, f64.
//
// x [batch, in, h, w], w [out, in / groups, kh, kw], y [batch, out, oh, ow]. Images are contiguous or channels-last,
// each as it likes; w and dw are contiguous. Output sizes are those of the views.
#pragma once

#include <array>

#include "kernels/kernel.h"
#include "kernels/options.h"

namespace rstorch::kernels {

struct ConvGeometry {
  std::array<int64_t, 2> stride = {1, 1};  // height, width
  std::array<int64_t, 2> padding = {0,
                                    0};  // before the first row and column; what follows the last is told by the sizes
  std::array<int64_t, 2> dilation = {1, 1};
  int64_t groups = 1;
  bool operator==(const ConvGeometry&) const = default;
};

// y = activation(x * w + bias). `bias` [out] may be undefined.
extern Kernel<ConstView /*x*/, ConstView /*w*/, ConstView /*bias*/, ConvGeometry, Activation, View /*y*/> conv2d;
extern Kernel<ConstView /*dy*/, ConstView /*w*/, ConvGeometry, View /*dx*/> conv2d_backward_data;
// `dy` is channels-last, `dbias` may be undefined.
extern Kernel<ConstView /*x*/, ConstView /*dy*/, ConvGeometry, View /*dw*/, View /*dbias*/> conv2d_backward_weights;

}  // namespace rstorch::kernels
