#include "kernels/indexing.h"

#include "kernels/copy.h"
#include "ops/op.h"
#include "ops/ops.h"

namespace rstorch {
namespace {

Tensor as_index(const Op& op, std::string_view argument, const Tensor& index) {
  op.require_defined(argument, index);
  if (!is_integral(index.dtype())) {
    throw DTypeError(format("{}: {} is {}, wanted integers", op.name(), argument, name_of(index.dtype())),
                     "convert it with to(kInt64)");
  }
  return contiguous(to(index, kInt64));
}

// Views of the shape [outer, size, inner] that a contiguous tensor has around one dimension.
template <class V>
V sliced(V view, int dim) {
  const Shape shape = view.shape;
  view.shape = {shape.slice(0, dim).numel(), shape[dim], shape.slice(dim + 1, shape.dims()).numel()};
  view.strides = contiguous_strides(view.shape);
  return view;
}

}  // namespace

Tensor index_select(const Tensor& x, int dim, const Tensor& index) {
  const Op op("index_select");
  op.require_same_device("x", x, "index", index);
  dim = op.require_dim("dim", dim, x);
  if (x.dim() == 0) throw ShapeError("index_select: the tensor has no dimensions");
  op.require_dims("index", index, 1);
  const Tensor rows = as_index(op, "index", index);
  Shape shape = x.shape();
  shape[dim] = rows.numel();
  Tensor y = Tensor::empty(shape, {x.dtype(), x.device()});
  kernels::index_select(op.stream(x), sliced(contiguous(x).view(), dim), rows.view(), sliced(y.mutable_view(), dim));
  return op.record(y, inputs(x), saves(rows), [dim, shape = x.shape()](const Saved& saved, const Tensor& dy) {
    const Tensor dx = Tensor::zeros(shape, dy.options());
    kernels::index_add(current_stream(dy.device()), sliced(contiguous(dy).view(), dim), saved[0].view(),
                       sliced(dx.mutable_view(), dim));
    return Grads{dx};
  });
}

Tensor gather(const Tensor& x, int dim, const Tensor& index) {
  const Op op("gather");
  op.require_same_device("x", x, "index", index);
  dim = op.require_dim("dim", dim, x);
  op.require_dims("index", index, x.dim());
  for (int i = 0; i < x.dim(); ++i) {
    if (i == dim || index.shape()[i] <= x.shape()[i]) continue;
    throw ShapeError(format("gather: index has shape {}, x {}: dimension {} of the index is larger",
                            index.shape().text(), x.shape().text(), i));
  }
  const Tensor at = as_index(op, "index", index);
  Tensor y = Tensor::empty(at.shape(), {x.dtype(), x.device()});
  kernels::gather(op.stream(x), x.view(), dim, at.view(), y.mutable_view());
  return op.record(y, inputs(x), saves(at), [dim, shape = x.shape()](const Saved& saved, const Tensor& dy) {
    const Tensor dx = Tensor::zeros(shape, dy.options());
    kernels::scatter_add(current_stream(dy.device()), dy.view(), dim, saved[0].view(), dx.mutable_view());
    return Grads{dx};
  });
}

Tensor embedding(const Tensor& indices, const Tensor& weight) {
  const Op op("embedding");
  op.require_same_device("indices", indices, "weight", weight);
  op.require_dims("weight", weight, 2);
  const Tensor rows = as_index(op, "indices", indices);
  Shape shape = rows.shape();
  shape.push_back(weight.shape()[1]);
  Tensor y = Tensor::empty(shape, {weight.dtype(), weight.device()});
  // As [1, rows, features]: the rows of all dimensions of the index are one list.
  const auto as_rows = [](auto view) {
    view.shape = {1, view.shape.back() == 0 ? 0 : view.numel() / view.shape.back(), view.shape.back()};
    view.strides = contiguous_strides(view.shape);
    return view;
  };
  const auto as_list = [](ConstView view) {
    view.shape = {view.numel()};
    view.strides = {1};
    return view;
  };
  kernels::index_select(op.stream(weight), as_rows(contiguous(weight).view()), as_list(rows.view()),
                        as_rows(y.mutable_view()));
  return op.record(y, inputs(indices, weight), saves(rows),
                   [as_rows, as_list, shape = weight.shape()](const Saved& saved, const Tensor& dy) {
                     const Tensor dw = saved.empty_grad(1, shape, dy.dtype(), dy.device());
                     Stream& stream = current_stream(dy.device());
                     kernels::fill(stream, dw.mutable_view(), 0);
                     kernels::index_add(stream, as_rows(contiguous(dy).view()), as_list(saved[0].view()),
                                        as_rows(dw.mutable_view()));
                     return Grads{Tensor(), dw};
                   });
}

}  // namespace rstorch
