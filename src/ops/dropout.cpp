#include "kernels/dropout.h"

#include "ops/op.h"
#include "ops/ops.h"

namespace rstorch {
namespace {

// The mask is not stored: the key draws it again in the backward pass.
Tensor drop(const Op& op, const Tensor& x, double p, const RandomKey& key) {
  const Tensor from = contiguous(x);
  Tensor y = empty_like(from);
  kernels::dropout(op.stream(from), from.view(), p, key, y.mutable_view());
  return y;
}

}  // namespace

Tensor dropout(const Tensor& x, double p, const RandomKey& key) {
  const Op op("dropout");
  op.require_floating("x", x);
  op.require(p >= 0 && p <= 1, format("p is {}, wanted a probability", p), "write a number from 0 to 1");
  if (p == 0) return x;
  RandomKey elements = key;
  const int64_t samples = x.dim() > 0 ? std::max<int64_t>(x.shape()[0], 1) : 1;
  elements.sample_size = uint64_t(x.numel() / samples);
  elements.first = key.first * elements.sample_size;
  return op.record(drop(op, x, p, elements), inputs(x), saves(),
                   [op, p, elements](const Saved&, const Tensor& dy) { return Grads{drop(op, dy, p, elements)}; });
}

}  // namespace rstorch
