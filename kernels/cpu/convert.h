// Runs of elements from one dtype and stride to another.
#pragma once

#include <cstdint>

#include "base/dtype.h"
#include "base/scalar.h"
#include "kernels/element.h"

namespace rstorch::kernels {

// dst[i * dst_stride] = src[i * src_stride] for i < n, converted as static_cast; to bool as x != 0. Strides in
// elements.
using ConvertRun = void (*)(const void* src, int64_t src_stride, void* dst, int64_t dst_stride, int64_t n);
ConvertRun convert_run(DType from, DType to);

// The bits of a number as one element of a dtype.
struct Element {
  alignas(8) unsigned char bytes[8];
};
Element element_of(Scalar number, DType dtype);

}  // namespace rstorch::kernels
