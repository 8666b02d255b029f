#include "kernels/matmul.h"

#include "ops/autocast.h"
#include "ops/matrix.h"
#include "ops/op.h"
#include "ops/ops.h"

namespace rstorch {
namespace {

Tensor with_matrix_layout(const Tensor& x) { return kernels::matrix_layout(x.view()).leading > 0 ? x : contiguous(x); }

// y = a b into `y`, for matrices or batches of matrices of any strides; not recorded.
void multiply_into(const Tensor& y, const Tensor& a, const Tensor& b) {
  kernels::matmul(current_stream(y.device()), as_batch(with_matrix_layout(a).view()),
                  as_batch(with_matrix_layout(b).view()), as_batch(y.mutable_view()));
}

// a [rows, inner] or [batch, rows, inner], b likewise.
Tensor product(const Op& op, const Tensor& a, const Tensor& b) {
  Shape shape = a.shape();
  shape[a.dim() - 1] = b.size(-1);
  const Tensor y = Tensor::empty(shape, a.options());
  multiply_into(y, a, b);
  return op.record(y, inputs(a, b), saves(a, b), [](const Saved& saved, const Tensor& dy) {
    const Tensor &a = saved[0], &b = saved[1];
    Tensor da, db;
    if (saved.needs(0)) {
      da = saved.empty_grad(0, a.shape(), a.dtype(), a.device());
      multiply_into(da, dy, b.transpose(-2, -1));
    }
    if (saved.needs(1)) {
      db = saved.empty_grad(1, b.shape(), b.dtype(), b.device());
      multiply_into(db, a.transpose(-2, -1), dy);
    }
    return Grads{da, db};
  });
}

// [..., rows, columns] -> [batch, rows, columns], repeated to `batch` where x is broadcast.
Tensor fold_batch(const Tensor& x, const Shape& batch) {
  Shape shape = batch;
  shape.push_back(x.size(-2));
  shape.push_back(x.size(-1));
  return expand(x, shape).reshape({batch.numel(), x.size(-2), x.size(-1)});
}

}  // namespace

Tensor matmul(const Tensor& left, const Tensor& right) {
  const Op op("matmul");
  const Tensor a = in_lower_precision(left), b = in_lower_precision(right);
  op.require_same_device("a", a, "b", b);
  if (a.dtype() != b.dtype()) {
    throw DTypeError(format("matmul: a is {}, b is {}", name_of(a.dtype()), name_of(b.dtype())),
                     "convert one of them with to(dtype)");
  }
  if (a.dim() == 0 || b.dim() == 0) {
    throw ShapeError(
        format("matmul: a has shape {}, b {}, wanted at least 1 dimension each", a.shape().text(), b.shape().text()),
        "multiply by a number with a * b");
  }
  const int64_t inner = b.dim() == 1 ? b.size(0) : b.size(-2);
  if (a.size(-1) != inner) {
    throw ShapeError(format("matmul: a has shape {}, b {}: {} columns do not meet {} rows", a.shape().text(),
                            b.shape().text(), a.size(-1), inner));
  }
  if (a.dim() == 1) return matmul(a.unsqueeze(0), b).squeeze(b.dim() == 1 ? 0 : -2);
  if (b.dim() == 1) return matmul(a, b.unsqueeze(1)).squeeze(-1);
  if (a.dim() == 2 && b.dim() == 2) return product(op, a, b);

  const Shape batch =
      broadcast_shapes(a.shape().slice(0, a.dim() - 2), b.shape().slice(0, b.dim() - 2), "matmul: batch of a and b");
  Shape shape = batch;
  shape.push_back(a.size(-2));
  shape.push_back(b.size(-1));
  if (b.dim() == 2) return product(op, a.reshape({batch.numel() * a.size(-2), inner}), b).reshape(shape);
  return product(op, fold_batch(a, batch), fold_batch(b, batch)).reshape(shape);
}

}  // namespace rstorch
