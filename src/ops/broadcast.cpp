#include "ops/broadcast.h"

#include "ops/ops.h"

namespace rstorch {

ConstView broadcast_view(const Tensor& x, const Shape& shape) {
  ConstView view = x.view();
  if (view.shape == shape) return view;
  const int added = shape.dims() - x.dim();
  Strides strides = Shape::filled(shape.dims(), 0);
  for (int i = 0; i < x.dim(); ++i) {
    if (x.shape()[i] == shape[i + added]) strides[i + added] = x.strides()[i];
  }
  view.shape = shape;
  view.strides = strides;
  return view;
}

Tensor sum_to_shape(const Tensor& x, const Shape& shape) {
  if (x.shape() == shape) return x;
  const int added = x.dim() - shape.dims();
  std::vector<int> dims;
  for (int i = 0; i < x.dim(); ++i) {
    if (i < added || (shape[i - added] == 1 && x.shape()[i] != 1)) dims.push_back(i);
  }
  return dims.empty() ? reshape(x, shape) : reshape(sum(x, dims, /*keepdim=*/true), shape);
}

namespace {

// Addresses, first and one behind the last.
struct Span {
  const char *begin, *end;
};
Span span_of(const Tensor& x) {
  int64_t low = 0, high = 0;
  for (int i = 0; i < x.dim(); ++i) (x.strides()[i] < 0 ? low : high) += (x.shape()[i] - 1) * x.strides()[i];
  const auto size = int64_t(size_of(x.dtype()));
  const auto* const first = static_cast<const char*>(x.raw_data());
  return {first + low * size, first + (high + 1) * size};
}

}  // namespace

bool share_memory(const Tensor& a, const Tensor& b) {
  if (a.device() != b.device() || a.numel() == 0 || b.numel() == 0 || !a.raw_data() || !b.raw_data()) return false;
  const Span x = span_of(a), y = span_of(b);
  return x.begin < y.end && y.begin < x.end;
}

void refuse_overlap(std::string_view name, const Tensor& x) {
  if (x.numel() == 0) return;
  for (int i = 0; i < x.dim(); ++i) {
    if (x.strides()[i] != 0 || x.shape()[i] <= 1) continue;
    throw ArgumentError(
        format("{}: elements of the tensor, of shape {}, share one place in memory", name, x.shape().text()),
        "clone() it first");
  }
}

}  // namespace rstorch
