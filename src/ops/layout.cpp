#include "ops/layout.h"

#include "kernels/copy.h"
#include "tensor/runtime.h"

namespace rstorch {

Tensor empty_image(const Shape& shape, const TensorOptions& options, Layout layout) {
  const Tensor y = Tensor::empty(shape, options);
  return layout == Layout::channels_last ? y.alias(shape, channels_last_strides(shape), 0) : y;
}

Tensor empty_with_layout_of(const Tensor& x) { return empty_image(x.shape(), x.options(), layout_of(x)); }

Tensor in_layout(const Tensor& x, Layout layout) {
  const bool is_there =
      layout == Layout::contiguous ? x.is_contiguous() : x.strides() == channels_last_strides(x.shape());
  if (is_there) return x;
  const Tensor y = empty_image(x.shape(), x.options(), layout);
  kernels::copy(current_stream(x.device()), x.view(), y.mutable_view());
  return y;
}

Tensor dense(const Tensor& x) { return is_channels_last(x) ? x : in_layout(x, Layout::contiguous); }

}  // namespace rstorch
