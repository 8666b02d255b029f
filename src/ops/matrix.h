// Other shapes for the views that matrix kernels take. V is View or ConstView.
#pragma once

#include <utility>

#include "base/view.h"

namespace rstorch {

// [rows, columns] -> [1, rows, columns]; a batch stays as it is.
template <class V>
V as_batch(V matrix) {
  if (matrix.dims() == 3) return matrix;
  matrix.shape.insert(0, 1);
  matrix.strides.insert(0, 0);
  return matrix;
}

// Contiguous [..., columns] -> [rows, columns].
template <class V>
V as_rows(V view) {
  const Shape rows = view.shape.slice(0, view.dims() - 1);
  view.shape = {rows.numel(), view.size(-1)};
  view.strides = contiguous_strides(view.shape);
  return view;
}

// The last two dimensions exchanged.
template <class V>
V transposed(V view) {
  const int last = view.dims() - 1;
  std::swap(view.shape[last], view.shape[last - 1]);
  std::swap(view.strides[last], view.strides[last - 1]);
  return view;
}

}  // namespace rstorch
