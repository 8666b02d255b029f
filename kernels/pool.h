// 2-D pooling. f32, f64; on CUDA also bf16 and f16, summed in f32. x [batch, channels, h, w] and y [batch, channels, oh, ow] are both contiguous or both
// channels-last, and so are gradients and indices. Output sizes are those of the views.
#pragma once

#include <array>

#include "kernels/kernel.h"

namespace rstorch::kernels {

struct PoolGeometry {
  std::array<int64_t, 2> kernel = {1, 1};  // height, width
  std::array<int64_t, 2> stride = {1, 1};
  std::array<int64_t, 2> padding = {0, 0};
  std::array<int64_t, 2> dilation = {1, 1};  // max only
  bool count_padding = true;                 // average only: padded elements count in the divisor
};

// index: which tap of the window won, row * kernel width + column; u8, or i32 for windows of more than 256 taps. The
// first of equal values wins, and a NaN wins over all. Padding never wins.
extern Kernel<ConstView /*x*/, PoolGeometry, View /*y*/, View /*index*/> max_pool2d;
extern Kernel<ConstView /*dy*/, ConstView /*index*/, PoolGeometry, View /*dx*/> max_pool2d_backward;

extern Kernel<ConstView /*x*/, PoolGeometry, View /*y*/> avg_pool2d;
extern Kernel<ConstView /*dy*/, PoolGeometry, View /*dx*/> avg_pool2d_backward;

// Output row i averages the rows floor(i h / oh) to ceil((i + 1) h / oh) - 1; columns likewise.
extern Kernel<ConstView /*x*/, View /*y*/> adaptive_avg_pool2d;
extern Kernel<ConstView /*dy*/, View /*dx*/> adaptive_avg_pool2d_backward;

}  // namespace rstorch::kernels
