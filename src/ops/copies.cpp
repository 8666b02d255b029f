// Ops that copy elements as they are: to another layout, dtype or device, or together into one tensor.
#include <algorithm>

#include "kernels/copy.h"
#include "ops/layout.h"
#include "ops/op.h"
#include "ops/ops.h"

namespace rstorch {

Tensor clone(const Tensor& x) {
  const Op op("clone");
  op.require_defined("x", x);
  Tensor y = empty_like(x);
  kernels::copy(op.stream(x), x.view(), y.mutable_view());
  return op.record(y, inputs(x), saves(), [](const Saved&, const Tensor& dy) { return Grads{dy}; });
}

Tensor contiguous(const Tensor& x) {
  Op("contiguous").require_defined("x", x);
  return x.is_contiguous() ? x : clone(x);
}

Tensor to(const Tensor& x, DType dtype) {
  const Op op("to");
  op.require_defined("x", x);
  if (x.dtype() == dtype) return x;
  Tensor y = empty_image(x.shape(), {dtype, x.device()}, layout_of(x));
  kernels::copy(op.stream(x), x.view(), y.mutable_view());
  return op.record(y, inputs(x), saves(), [from = x.dtype()](const Saved& saved, const Tensor& dy) {
    Tensor dx = saved.empty_grad(0, dy.shape(), from, dy.device());
    kernels::copy(current_stream(dy.device()), dy.view(), dx.mutable_view());
    return Grads{dx};
  });
}

Tensor to(const Tensor& x, Device device) {
  const Op op("to");
  op.require_defined("x", x);
  if (x.device() == device) return x;
  if (x.device().is_meta()) throw DeviceError("to: a meta tensor has no values to move", "make it anew on the device");
  const Tensor from = contiguous(x);
  Tensor y = Tensor::empty(x.shape(), {x.dtype(), device});
  if (!device.is_meta()) {
    Stream& stream = current_stream(device.is_cpu() ? x.device() : device);
    stream.copy_bytes(y.raw_data(), from.raw_data(), x.bytes());
    stream.synchronize();  // the host may read it, or write to its source, at once
  }
  return op.record(y, inputs(x), saves(),
                   [from = x.device()](const Saved&, const Tensor& dy) { return Grads{to(dy, from)}; });
}

namespace {

// PyTorch's exception: an empty tensor of one dimension may be joined to anything.
bool is_skipped(const Tensor& x) { return x.dim() == 1 && x.numel() == 0; }

void check_joined(const Op& op, const Tensor& first, const Tensor& x, int dim, size_t position) {
  op.require_same_device("the first tensor", first, "another", x);
  bool fits = x.dim() == first.dim();
  for (int i = 0; fits && i < x.dim(); ++i) fits = i == dim || x.shape()[i] == first.shape()[i];
  if (fits) return;
  throw ShapeError(
      format("{}: tensor {} has shape {}, the first {}", op.name(), position, x.shape().text(), first.shape().text()),
      format("all sizes but those of dimension {} must be equal", dim));
}

Tensor record_cat(const Op& op, const Tensor& y, const std::vector<Tensor>& tensors, int dim) {
  std::vector<const Tensor*> joined;
  std::vector<int64_t> sizes;
  for (const Tensor& x : tensors) {
    joined.push_back(&x);
    sizes.push_back(is_skipped(x) ? -1 : x.size(dim));
  }
  if (!grad_enabled() || !is_floating(y.dtype()) || !detail::wants_gradient(joined)) return y;
  return detail::record(op.name(), y, joined, {}, [dim, sizes](const Saved& saved, const Tensor& dy) {
    Grads grads(sizes.size());
    int64_t start = 0;
    for (size_t i = 0; i < sizes.size(); ++i) {
      const bool skipped = sizes[i] < 0;
      const int64_t end = start + std::max<int64_t>(sizes[i], 0);
      // The gradient of nothing is nothing, but there is one.
      if (saved.needs(int(i))) grads[i] = skipped ? Tensor::zeros({0}, dy.options()) : slice(dy, dim, start, end);
      start = end;
    }
    return grads;
  });
}

}  // namespace

Tensor cat(const std::vector<Tensor>& tensors, int dim) {
  const Op op("cat");
  op.require(!tensors.empty(), "the list of tensors is empty");
  for (const Tensor& x : tensors) op.require_defined("a tensor of the list", x);
  const auto leading = std::find_if_not(tensors.begin(), tensors.end(), is_skipped);
  const Tensor& first = leading == tensors.end() ? tensors.front() : *leading;
  if (first.dim() == 0) throw ShapeError("cat: tensors of no dimensions cannot be joined", "use stack");
  dim = op.require_dim("dim", dim, first);
  DType dtype = first.dtype();
  Shape shape = first.shape();
  shape[dim] = 0;
  for (size_t i = 0; i < tensors.size(); ++i) {
    dtype = promote_types(dtype, tensors[i].dtype());
    if (is_skipped(tensors[i])) continue;
    check_joined(op, first, tensors[i], dim, i);
    shape[dim] += tensors[i].shape()[dim];
  }
  const bool converts =
      std::any_of(tensors.begin(), tensors.end(), [&](const Tensor& x) { return x.dtype() != dtype; });
  if (converts) {
    std::vector<Tensor> converted;
    for (const Tensor& x : tensors) converted.push_back(to(x, dtype));
    return cat(converted, dim);
  }
  Tensor y = Tensor::empty(shape, {dtype, first.device()});
  View part = y.mutable_view();
  for (const Tensor& x : tensors) {
    if (is_skipped(x)) continue;
    part.shape[dim] = x.shape()[dim];
    kernels::copy(op.stream(y), x.view(), part);
    part.data = static_cast<char*>(part.data) + size_t(x.shape()[dim] * part.strides[dim]) * size_of(dtype);
  }
  return record_cat(op, y, tensors, dim);
}

Tensor stack(const std::vector<Tensor>& tensors, int dim) {
  const Op op("stack");
  op.require(!tensors.empty(), "the list of tensors is empty");
  std::vector<Tensor> rows;
  for (size_t i = 0; i < tensors.size(); ++i) {
    op.require_defined("a tensor of the list", tensors[i]);
    if (tensors[i].shape() != tensors[0].shape()) {
      throw ShapeError(format("stack: tensor {} has shape {}, the first {}", i, tensors[i].shape().text(),
                              tensors[0].shape().text()));
    }
    rows.push_back(unsqueeze(tensors[i], dim));
  }
  return cat(rows, dim < 0 ? dim + rows[0].dim() : dim);
}

}  // namespace rstorch
