// Runs of elements from one dtype and stride to another.
#pragma once

#include <cstdint>

#include "base/dtype.h"
#include "base/scalar.h"

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

template <class To, class From>
RST_HD To convert(From x) {
  if constexpr (std::is_same_v<To, From>)
    return x;
  else if constexpr (std::is_same_v<From, bf16> || std::is_same_v<From, f16>)
    return convert<To>(float(x));
  else if constexpr (std::is_same_v<To, bf16> || std::is_same_v<To, f16>)
    return To(float(x));
  else if constexpr (std::is_same_v<To, bool>)
    return x != From(0);
  else
    return To(x);
}

}  // namespace rstorch::kernels
