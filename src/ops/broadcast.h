// Broadcasting and memory inside ops.
#pragma once

#include "tensor/tensor.h"

namespace rstorch {

// x as kernels see it broadcast to `shape`: stride 0 where it is repeated. x must broadcast to it.
ConstView broadcast_view(const Tensor& x, const Shape& shape);
// The gradient of broadcasting: sums x over the dimensions that `shape` was repeated along.
Tensor sum_to_shape(const Tensor& x, const Shape& shape);

// Whether the memory that a and b span has a byte in common.
bool share_memory(const Tensor& a, const Tensor& b);
// Throws ArgumentError for an x that name(x) must not write in place: of an expanded tensor the elements along that
// dimension are one element in memory, which would be written several times.
void refuse_overlap(std::string_view name, const Tensor& x);

}  // namespace rstorch
