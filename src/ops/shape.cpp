// Views: ops that show the same memory in another shape. Their gradients are views of the gradient.
#include <algorithm>
#include <numeric>

#include "kernels/copy.h"
#include "ops/broadcast.h"
#include "ops/op.h"
#include "ops/ops.h"

namespace rstorch {
namespace {

// Records y as a view of x's memory.
template <class F>
Tensor record_view(const Op& op, const Tensor& x, const Tensor& y, F&& backward) {
  x.impl()->storage->mark_views();  // also where x has no gradient: something that has may be written into y
  return op.record(y, inputs(x), saves(), std::forward<F>(backward));
}

// `shape` with its -1, if there is one, replaced by the size that makes the number of elements right.
Shape inferred(const Op& op, const Tensor& x, Shape shape) {
  int unknown = -1;
  int64_t known = 1;
  for (int i = 0; i < shape.dims(); ++i) {
    if (shape[i] == -1 && unknown < 0) {
      unknown = i;
    } else if (shape[i] < 0) {
      throw ShapeError(format("{}: the shape {} has a negative size", op.name(), shape.text()), "one size may be -1");
    } else {
      known *= shape[i];
    }
  }
  const bool divides = unknown < 0 ? known == x.numel() : known != 0 && x.numel() % known == 0;
  if (!divides) {
    throw ShapeError(format("{}: a tensor of shape {}, which has {} elements, does not fit the shape {}", op.name(),
                            x.shape().text(), x.numel(), shape.text()));
  }
  if (unknown >= 0) shape[unknown] = x.numel() / known;
  return shape;
}

// Strides that show x in another shape without a copy, if there are any: each group of new dimensions must lie within a
// group of old ones that is contiguous in itself.
std::optional<Strides> strides_for(const Tensor& x, const Shape& shape) {
  if (x.is_contiguous() || x.numel() == 0) return contiguous_strides(shape);
  Strides strides = shape;
  int to = shape.dims() - 1;
  int64_t step = x.strides()[x.dim() - 1];  // of the group's innermost element
  int64_t old_size = 1, new_size = 1;
  for (int from = x.dim() - 1; from >= 0; --from) {
    old_size *= x.shape()[from];
    const bool group_ends = from == 0 || (x.shape()[from - 1] != 1 && x.strides()[from - 1] != old_size * step);
    if (!group_ends) continue;
    while (to >= 0 && (new_size < old_size || shape[to] == 1)) {
      strides[to] = new_size * step;
      new_size *= shape[to--];
    }
    if (new_size != old_size) return {};
    if (from > 0) step = x.strides()[from - 1];
    old_size = new_size = 1;
  }
  return to < 0 ? std::optional(strides) : std::nullopt;
}

Tensor reshaped_view(const Op& op, const Tensor& x, const Shape& shape, const Strides& strides) {
  return record_view(op, x, x.alias(shape, strides, x.offset()),
                     [from = x.shape()](const Saved&, const Tensor& dy) { return Grads{reshape(dy, from)}; });
}

}  // namespace

Tensor reshape(const Tensor& x, const Shape& shape) {
  const Op op("reshape");
  op.require_defined("x", x);
  const Shape wanted = inferred(op, x, shape);
  const std::optional<Strides> strides = strides_for(x, wanted);
  if (!strides) return reshape(clone(x), wanted);
  return reshaped_view(op, x, wanted, *strides);
}

Tensor view(const Tensor& x, const Shape& shape) {
  const Op op("view");
  op.require_defined("x", x);
  const Shape wanted = inferred(op, x, shape);
  const std::optional<Strides> strides = strides_for(x, wanted);
  if (!strides) {
    throw ShapeError(format("view: a tensor of shape {} and strides {} cannot be seen as {} without a copy",
                            x.shape().text(), x.strides().text(), wanted.text()),
                     "use reshape");
  }
  return reshaped_view(op, x, wanted, *strides);
}

Tensor flatten(const Tensor& x, int start_dim, int end_dim) {
  const Op op("flatten");
  const int start = op.require_dim("start_dim", start_dim, x), end = op.require_dim("end_dim", end_dim, x);
  if (start > end) throw ShapeError(format("flatten: start_dim {} comes after end_dim {}", start_dim, end_dim));
  if (x.dim() == 0) return reshape(x, {1});
  if (start == end) return x;
  Shape shape = x.shape().slice(0, start);
  shape.push_back(x.shape().slice(start, end + 1).numel());
  for (int i = end + 1; i < x.dim(); ++i) shape.push_back(x.shape()[i]);
  return reshape(x, shape);
}

Tensor squeeze(const Tensor& x) {
  const Op op("squeeze");
  op.require_defined("x", x);
  Shape shape;
  Strides strides;
  for (int i = 0; i < x.dim(); ++i) {
    if (x.shape()[i] == 1) continue;
    shape.push_back(x.shape()[i]);
    strides.push_back(x.strides()[i]);
  }
  return reshaped_view(op, x, shape, strides);
}

Tensor squeeze(const Tensor& x, int dim) {
  const Op op("squeeze");
  dim = op.require_dim("dim", dim, x);
  if (x.dim() == 0 || x.shape()[dim] != 1) return x;
  Shape shape = x.shape();
  Strides strides = x.strides();
  shape.erase(dim);
  strides.erase(dim);
  return reshaped_view(op, x, shape, strides);
}

Tensor unsqueeze(const Tensor& x, int dim) {
  const Op op("unsqueeze");
  op.require_defined("x", x);
  if (dim < -x.dim() - 1 || dim > x.dim()) {
    throw ShapeError(format("unsqueeze: dim is {}, the tensor has shape {}", dim, x.shape().text()),
                     format("a new dimension can be put at {} to {}", -x.dim() - 1, x.dim()));
  }
  if (dim < 0) dim += x.dim() + 1;
  Shape shape = x.shape();
  Strides strides = x.strides();
  strides.insert(dim, dim < x.dim() ? shape[dim] * strides[dim] : 1);
  shape.insert(dim, 1);
  return reshaped_view(op, x, shape, strides);
}

Tensor transpose(const Tensor& x, int dim0, int dim1) {
  const Op op("transpose");
  dim0 = op.require_dim("dim0", dim0, x);
  dim1 = op.require_dim("dim1", dim1, x);
  Shape shape = x.shape();
  Strides strides = x.strides();
  std::swap(shape[dim0], shape[dim1]);
  std::swap(strides[dim0], strides[dim1]);
  return record_view(op, x, x.alias(shape, strides, x.offset()),
                     [dim0, dim1](const Saved&, const Tensor& dy) { return Grads{transpose(dy, dim0, dim1)}; });
}

Tensor permute(const Tensor& x, const std::vector<int>& dims) {
  const Op op("permute");
  op.require_defined("x", x);
  if (int(dims.size()) != x.dim()) {
    throw ShapeError(format("permute: {} dims for a tensor of shape {}", dims.size(), x.shape().text()));
  }
  Shape shape = x.shape();
  Strides strides = x.strides();
  std::vector<int> inverse(dims.size(), -1);
  for (int i = 0; i < x.dim(); ++i) {
    const int from = op.require_dim("dims", dims[size_t(i)], x);
    if (inverse[size_t(from)] >= 0) throw ShapeError(format("permute: dimension {} is named twice", from));
    inverse[size_t(from)] = i;
    shape[i] = x.shape()[from];
    strides[i] = x.strides()[from];
  }
  return record_view(op, x, x.alias(shape, strides, x.offset()),
                     [inverse](const Saved&, const Tensor& dy) { return Grads{permute(dy, inverse)}; });
}

Tensor expand(const Tensor& x, const Shape& shape) {
  const Op op("expand");
  op.require_defined("x", x);
  Shape wanted = shape;
  const int added = shape.dims() - x.dim();
  bool fits = added >= 0;
  for (int i = 0; fits && i < x.dim(); ++i) {
    int64_t& size = wanted[i + added];
    if (size == -1) size = x.shape()[i];
    fits = x.shape()[i] == size || x.shape()[i] == 1;
  }
  for (int i = 0; i < wanted.dims(); ++i) fits = fits && wanted[i] >= 0;
  if (!fits) {
    throw ShapeError(format("expand: a tensor of shape {} cannot be expanded to {}", x.shape().text(), shape.text()),
                     "only dimensions of size 1 and new ones in front can be repeated; -1 keeps a size");
  }
  const ConstView view = broadcast_view(x, wanted);
  return record_view(op, x, x.alias(wanted, view.strides, x.offset()),
                     [from = x.shape()](const Saved&, const Tensor& dy) { return Grads{sum_to_shape(dy, from)}; });
}

namespace {

// The part of dimension `dim` that begins at `start`, every `step`-th element, `count` of them.
Tensor part_of(const Tensor& x, int dim, int64_t start, int64_t count, int64_t step) {
  Shape shape = x.shape();
  Strides strides = x.strides();
  shape[dim] = count;
  strides[dim] *= step;
  return x.alias(shape, strides, x.offset() + start * x.strides()[dim]);
}

}  // namespace

Tensor slice(const Tensor& x, int dim, int64_t start, int64_t end, int64_t step) {
  const Op op("slice");
  dim = op.require_dim("dim", dim, x);
  if (x.dim() == 0) throw ShapeError("slice: the tensor has no dimensions");
  op.require(step > 0, "step must be positive");
  const int64_t size = x.shape()[dim];
  const auto clipped = [size](int64_t at) { return std::clamp<int64_t>(at < 0 ? at + size : at, 0, size); };
  start = clipped(start);
  end = std::max(clipped(end), start);
  const int64_t count = (end - start + step - 1) / step;
  return record_view(op, x, part_of(x, dim, start, count, step),
                     [dim, start, count, step, shape = x.shape()](const Saved&, const Tensor& dy) {
                       const Tensor dx = Tensor::zeros(shape, dy.options());
                       kernels::copy(current_stream(dy.device()), dy.view(),
                                     part_of(dx, dim, start, count, step).mutable_view());
                       return Grads{dx};
                     });
}

Tensor select(const Tensor& x, int dim, int64_t index) {
  const Op op("select");
  dim = op.require_dim("dim", dim, x);
  if (x.dim() == 0) throw ShapeError("select: a tensor of no dimensions cannot be indexed", "use item()");
  const int64_t size = x.shape()[dim];
  if (index < -size || index >= size) {
    throw ArgumentError(format("select: index {} is out of range for dimension {} of size {}", index, dim, size));
  }
  if (index < 0) index += size;
  Tensor y = part_of(x, dim, index, 1, 1);
  Shape shape = y.shape();
  Strides strides = y.strides();
  shape.erase(dim);
  strides.erase(dim);
  return record_view(op, x, y.alias(shape, strides, y.offset()),
                     [dim, index, from = x.shape()](const Saved&, const Tensor& dy) {
                       const Tensor dx = Tensor::zeros(from, dy.options());
                       kernels::copy(current_stream(dy.device()), unsqueeze(dy, dim).view(),
                                     part_of(dx, dim, index, 1, 1).mutable_view());
                       return Grads{dx};
                     });
}

std::vector<Tensor> split(const Tensor& x, int64_t size, int dim) {
  const Op op("split");
  dim = op.require_dim("dim", dim, x);
  if (x.dim() == 0) throw ShapeError("split: the tensor has no dimensions");
  op.require(size > 0, "size must be positive");
  std::vector<Tensor> parts;
  const int64_t total = x.shape()[dim];
  for (int64_t start = 0; start < std::max<int64_t>(total, 1); start += size) {
    parts.push_back(slice(x, dim, start, std::min(start + size, total)));
  }
  return parts;
}

}  // namespace rstorch
