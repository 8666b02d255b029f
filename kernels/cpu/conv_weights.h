// The gradient of a convolution's weights, f32: as fast as oneDNN's matrix products (its own convolution reaches half
// of that on AVX2), and the same bits for any number of threads.
//
// dw is a product of two matrices: dy [positions, out] transposed, and the patches of x that each position of y saw,
// [positions, kh kw in]. Patches are gathered a block at a time into a buffer that stays in the second-level cache.
#pragma once

#include "base/stream.h"
#include "base/view.h"
#include "kernels/conv.h"

namespace rstorch::kernels {

// x [batch, in, h, w] of any strides, dy [batch, out, oh, ow] channels-last, dw [out, in, kh, kw] contiguous. One
// group.
void weights_gradient(const CpuStream& stream, const ConstView& x, const ConstView& dy, const ConvGeometry& geometry,
                      const View& dw);

}  // namespace rstorch::kernels
