// Moving and setting elements.
#pragma once

#include "base/scalar.h"
#include "kernels/kernel.h"

namespace rstorch::kernels {

// y = x, element by element: equal shapes, any strides, any dtypes (converted as static_cast; to bool: x != 0).
extern Kernel<ConstView, View> copy;
// y = value. Any strides.
extern Kernel<View, Scalar> fill;

}  // namespace rstorch::kernels
