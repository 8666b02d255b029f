#include "kernels/reduce.h"

#include "kernels/indexing.h"
#include "ops/autocast.h"
#include "ops/op.h"
#include "ops/ops.h"

namespace rstorch {
namespace {

// Which dimensions a reduction runs over, and the shapes that follow.
struct Reduced {
  std::array<bool, kMaxDims> dims{};
  Shape kept;     // with size 1 where reduced: what kernels write
  Shape result;   // what the caller gets
  int64_t count;  // elements that make one result

  Reduced(const Op& op, const Tensor& x, const std::vector<int>& over, bool keepdim) : kept(x.shape()), count(1) {
    for (const int dim : over) {
      const int d = op.require_dim("dim", dim, x);
      if (x.dim() == 0) continue;
      op.require(!dims[size_t(d)], "a dimension is named twice");
      dims[size_t(d)] = true;
    }
    for (int d = 0; d < x.dim(); ++d) {
      if (over.empty()) dims[size_t(d)] = true;
      if (!dims[size_t(d)]) {
        result.push_back(kept[d]);
        continue;
      }
      count *= kept[d];
      kept[d] = 1;
      if (keepdim) result.push_back(1);
    }
  }

  // A contiguous y as the kernel sees it.
  View view(const Tensor& y) const {
    View view = y.mutable_view();
    view.shape = kept;
    view.strides = contiguous_strides(kept);
    return view;
  }
  // y or its gradient with the dimensions of x, size 1 where reduced.
  Tensor with_kept_dims(const Tensor& y) const { return reshape(y, kept); }
  std::vector<int> dim_list() const {
    std::vector<int> out;
    for (int d = 0; d < kept.dims(); ++d) {
      if (dims[size_t(d)]) out.push_back(d);
    }
    return out;
  }
};

void require_elements(const Op& op, const Reduced& reduced, const Tensor& x) {
  if (reduced.count > 0 || x.numel() > 0 || reduced.result.numel() == 0) return;
  throw ShapeError(format("{}: a tensor of shape {} has no element to choose from", op.name(), x.shape().text()));
}

// sum and prod of integers and bool are i64.
DType accumulated(DType dtype) { return is_floating(dtype) ? dtype : kInt64; }

}  // namespace

Tensor sum(const Tensor& input, const std::vector<int>& dims, bool keepdim) {
  const Op op("sum");
  op.require_defined("x", input);
  const Tensor x = in_full_precision(input);
  const Reduced reduced(op, x, dims, keepdim);
  Tensor y = Tensor::empty(reduced.result, {accumulated(x.dtype()), x.device()});
  kernels::sum(op.stream(x), x.view(), reduced.view(y));
  return op.record(y, inputs(x), saves(), [reduced, shape = x.shape()](const Saved&, const Tensor& dy) {
    return Grads{expand(reduced.with_kept_dims(dy), shape)};
  });
}

Tensor mean(const Tensor& x, const std::vector<int>& dims, bool keepdim) {
  const Op op("mean");
  op.require_floating("x", x);
  const Reduced reduced(op, x, dims, keepdim);
  Tensor y = Tensor::empty(reduced.result, {x.dtype(), x.device()});
  kernels::mean(op.stream(x), x.view(), reduced.view(y));
  return op.record(y, inputs(x), saves(), [reduced, shape = x.shape()](const Saved&, const Tensor& dy) {
    return Grads{expand(reduced.with_kept_dims(div(dy, reduced.count)), shape)};
  });
}

Tensor var(const Tensor& x, const std::vector<int>& dims, bool keepdim, int64_t correction) {
  const Op op("var");
  op.require_floating("x", x);
  const Reduced reduced(op, x, dims, keepdim);
  Tensor y = Tensor::empty(reduced.result, {x.dtype(), x.device()});
  kernels::var(op.stream(x), x.view(), correction, reduced.view(y));
  return op.record(y, inputs(x), saves(x), [reduced, correction](const Saved& saved, const Tensor& dy) {
    const Tensor& x = saved[0];
    const double divisor = double(std::max<int64_t>(reduced.count - correction, 0));
    const Tensor distance = sub(x, mean(x, reduced.dim_list(), /*keepdim=*/true));
    return Grads{mul(distance, mul(reduced.with_kept_dims(dy), 2 / divisor))};
  });
}

Tensor prod(const Tensor& input, const std::vector<int>& dims, bool keepdim) {
  const Op op("prod");
  op.require_defined("x", input);
  const Tensor x = in_full_precision(input);
  const Reduced reduced(op, x, dims, keepdim);
  Tensor y = Tensor::empty(reduced.result, {accumulated(x.dtype()), x.device()});
  kernels::prod(op.stream(x), x.view(), reduced.view(y));
  return op.record(y, inputs(x), saves(x), [reduced](const Saved& saved, const Tensor& dy) {
    // The slope is the product of the others: without zeros y / x; at the only zero the product of the rest; else 0.
    const Tensor& x = saved[0];
    const std::vector<int> dims = reduced.dim_list();
    const Tensor zero = eq(x, 0), zeros = sum(zero, dims, /*keepdim=*/true);
    const Tensor nonzero = masked_fill(x, zero, 1), rest = prod(nonzero, dims, /*keepdim=*/true);
    const Tensor at_zero = masked_fill(rest, ne(zeros, 1), 0), elsewhere = masked_fill(rest, ne(zeros, 0), 0);
    return Grads{mul(where(zero, at_zero, div(elsewhere, nonzero)), reduced.with_kept_dims(dy))};
  });
}

namespace {

Tensor extreme(const Op& op, const Kernel<ConstView, View>& kernel, const Tensor& x, const std::vector<int>& dims,
               bool keepdim) {
  op.require_defined("x", x);
  const Reduced reduced(op, x, dims, keepdim);
  require_elements(op, reduced, x);
  Tensor y = Tensor::empty(reduced.result, {x.dtype(), x.device()});
  kernel(op.stream(x), x.view(), reduced.view(y));
  return op.record(y, inputs(x), saves(x, y), [reduced](const Saved& saved, const Tensor& dy) {
    const Tensor hit = to(eq(saved[0], reduced.with_kept_dims(saved[1])), dy.dtype());
    const Tensor hits = sum(hit, reduced.dim_list(), /*keepdim=*/true);
    return Grads{mul(hit, div(reduced.with_kept_dims(dy), hits))};
  });
}

ValuesAndIndices extreme_along(const Op& op, const Kernel<ConstView, int, View, View>& kernel, const Tensor& x, int dim,
                               bool keepdim) {
  op.require_defined("x", x);
  dim = op.require_dim("dim", dim, x);
  if (x.dim() == 0) {
    const ValuesAndIndices found = extreme_along(op, kernel, reshape(x, {1}), 0, /*keepdim=*/false);
    return found;
  }
  const Reduced reduced(op, x, {dim}, keepdim);
  require_elements(op, reduced, x);
  Tensor values = Tensor::empty(reduced.result, {x.dtype(), x.device()});
  const Tensor indices = Tensor::empty(reduced.result, {kInt64, x.device()});
  kernel(op.stream(x), x.view(), dim, reduced.view(values), reduced.view(indices));
  values = op.record(values, inputs(x), saves(indices),
                     [reduced, dim, shape = x.shape()](const Saved& saved, const Tensor& dy) {
                       const Tensor dx = Tensor::zeros(shape, dy.options());
                       kernels::scatter_add(current_stream(dy.device()), reduced.with_kept_dims(dy).view(), dim,
                                            reduced.with_kept_dims(saved[0]).view(), dx.mutable_view());
                       return Grads{dx};
                     });
  return {values, indices};
}

}  // namespace

Tensor amax(const Tensor& x, const std::vector<int>& dims, bool keepdim) {
  return extreme(Op("amax"), kernels::amax, x, dims, keepdim);
}
Tensor amin(const Tensor& x, const std::vector<int>& dims, bool keepdim) {
  return extreme(Op("amin"), kernels::amin, x, dims, keepdim);
}
ValuesAndIndices max(const Tensor& x, int dim, bool keepdim) {
  return extreme_along(Op("max"), kernels::max_index, x, dim, keepdim);
}
ValuesAndIndices min(const Tensor& x, int dim, bool keepdim) {
  return extreme_along(Op("min"), kernels::min_index, x, dim, keepdim);
}
Tensor argmax(const Tensor& x, int dim, bool keepdim) {
  return extreme_along(Op("argmax"), kernels::max_index, x.detach(), dim, keepdim).indices;
}
Tensor argmin(const Tensor& x, int dim, bool keepdim) {
  return extreme_along(Op("argmin"), kernels::min_index, x.detach(), dim, keepdim).indices;
}

}  // namespace rstorch
