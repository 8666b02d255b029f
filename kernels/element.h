// Element types in arithmetic: what they are computed in, and how one becomes another. The same text on every device.
#pragma once

#include <type_traits>

#include "base/dtype.h"
#include "base/half.h"

namespace rstorch::kernels {

template <class T>
inline constexpr bool is_half = std::is_same_v<T, bf16> || std::is_same_v<T, f16>;

// What an element type is computed in.
template <class T>
using Compute = std::conditional_t<is_half<T>, float, T>;
constexpr DType compute_dtype(DType dtype) {
  return dtype == DType::bf16 || dtype == DType::f16 ? DType::f32 : dtype;
}

// As static_cast; to bool: x != 0.
template <class To, class From>
RST_HD To convert(From x) {
  if constexpr (std::is_same_v<To, From>)
    return x;
  else if constexpr (is_half<From>)
    return convert<To>(float(x));
  else if constexpr (is_half<To>)
    return To(float(x));
  else if constexpr (std::is_same_v<To, bool>)
    return x != From(0);
  else
    return To(x);
}

}  // namespace rstorch::kernels
