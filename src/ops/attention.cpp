#include "kernels/attention.h"

#include <cmath>

#include "kernels/element.h"
#include "ops/autocast.h"
#include "ops/op.h"
#include "ops/ops.h"

namespace rstorch {
namespace {

// [batch..., rows, columns]
Shape shape_of(const Shape& batch, int64_t rows, int64_t columns) {
  Shape shape = batch;
  shape.push_back(rows);
  shape.push_back(columns);
  return shape;
}

// x, repeated to `batch`, as [batch, heads, rows, columns].
Tensor as_heads(const Tensor& x, const Shape& batch) {
  const Shape shape = shape_of(batch, x.size(-2), x.size(-1));
  Tensor y = x.shape() == shape ? x : expand(x, shape);
  while (y.dim() < 4) y = unsqueeze(y, 0);
  return y.dim() == 4 ? y : flatten(y, 0, y.dim() - 4);
}

// The same for what kernels read: features are neighbours.
Tensor with_rows(const Tensor& x) { return x.strides()[x.dim() - 1] == 1 || x.size(-1) <= 1 ? x : contiguous(x); }

// Uninitialised [batch, heads, length, features]. Where the heads of `x` lie beside each other at each position, as
// those of a projection do, so do these: joining them again is then no copy.
Tensor empty_heads(const Tensor& x, int64_t length, int64_t features) {
  const int64_t heads = x.size(1);
  const Tensor y = Tensor::empty({x.size(0), heads, length, features}, x.options());
  if (x.strides()[1] >= x.strides()[2]) return y;
  return y.alias(y.shape(), {length * heads * features, features, heads * features, 1}, 0);
}

void check_mask(const Op& op, const Tensor& query, const Tensor& mask, const Shape& scores) {
  op.require_same_device("query", query, "mask", mask);
  if (mask.dtype() != kBool && mask.dtype() != query.dtype()) {
    throw DTypeError(format("{}: mask is {}, wanted bool or the query's {}", op.name(), name_of(mask.dtype()),
                            name_of(query.dtype())),
                     "convert it with to(dtype)");
  }
  op.require_shape_that(
      broadcast_shapes(mask.shape(), scores, "scaled_dot_product_attention: mask and scores") == scores,
      format("mask has shape {}, the scores {}", mask.shape().text(), scores.text()),
      "sizes of a mask are those of the scores or 1");
  op.require(!mask.requires_grad(), "mask requires a gradient, which it does not get",
             "detach() it, or write the attention with matmul and softmax");
}

}  // namespace

Tensor scaled_dot_product_attention(const Tensor& given_query, const Tensor& given_key, const Tensor& given_value,
                                    const Tensor& given_mask, const AttentionOptions& options) {
  const Op op("scaled_dot_product_attention");
  const Tensor query = in_lower_precision(given_query), key = in_lower_precision(given_key),
               value = in_lower_precision(given_value), mask = in_lower_precision(given_mask);
  op.require_floating("query", query);
  const auto check = [&](std::string_view name, const Tensor& x) {
    op.require_same_device("query", query, name, x);
    op.require_dtype(name, x, query.dtype());
    op.require_shape_that(x.dim() >= 2,
                          format("{} has shape {}, wanted [..., heads, length, features]", name, x.shape().text()));
  };
  check("query", query);
  check("key", key);
  check("value", value);
  const int64_t length = query.size(-2), keys = key.size(-2), features = query.size(-1);
  op.require_shape_that(key.size(-1) == features, format("query has shape {}, key {}: their features differ",
                                                         query.shape().text(), key.shape().text()));
  op.require_shape_that(value.size(-2) == keys, format("key has shape {}, value {}: their lengths differ",
                                                       key.shape().text(), value.shape().text()));
  op.require(options.dropout_p >= 0 && options.dropout_p <= 1,
             format("dropout_p is {}, wanted a probability", options.dropout_p), "write a number from 0 to 1");
  op.require(!options.is_causal || !mask.defined(), "there is a mask beside is_causal",
             "leave one of them out, or mask what is_causal would");

  const auto batch_of = [](const Tensor& x) { return x.shape().slice(0, x.dim() - 2); };
  const Shape batch = broadcast_shapes(broadcast_shapes(batch_of(query), batch_of(key), "query and key of attention"),
                                       batch_of(value), "query and value of attention");
  const Shape scores = shape_of(batch, length, keys);
  if (mask.defined()) check_mask(op, query, mask, scores);

  const Tensor q = with_rows(as_heads(query, batch)), k = with_rows(as_heads(key, batch)),
               v = with_rows(as_heads(value, batch));
  const Tensor m = mask.defined() ? as_heads(expand(mask, scores), batch) : mask;
  const double scale = options.scale.value_or(1 / std::sqrt(double(features)));
  // As of dropout(probabilities, dropout_p, key).
  RandomKey random = options.key;
  random.sample_size = uint64_t(scores.numel() / std::max<int64_t>(scores[0], 1));
  random.first *= random.sample_size;
  const auto arguments = [scale, random, is_causal = options.is_causal, p = options.dropout_p](
                             const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& m) {
    return kernels::Attention{q.view(), k.view(), v.view(), m.view(), is_causal, scale, p, random};
  };

  Tensor y = empty_heads(q, length, value.size(-1));
  const Tensor log_sums =
      Tensor::empty({q.size(0), q.size(1), length}, {kernels::compute_dtype(q.dtype()), q.device()});
  kernels::attention(op.stream(q), arguments(q, k, v, m), y.mutable_view(), log_sums.mutable_view());
  y = op.record(y, inputs(q, k, v), saves(q, k, v, m, y, log_sums),
                [op, arguments](const Saved& saved, const Tensor& gradient) {
                  const Tensor &q = saved[0], &k = saved[1], &v = saved[2];
                  const Tensor dy = with_rows(gradient);
                  Grads grads(3);
                  for (int i = 0; i < 3; ++i) {
                    const Tensor& x = saved[i];
                    if (saved.needs(i)) grads[size_t(i)] = empty_heads(x, x.size(2), x.size(3));
                  }
                  kernels::attention_backward(op.stream(q), arguments(q, k, v, saved[3]), dy.view(), saved[4].view(),
                                              saved[5].view(), grads[0].mutable_view(), grads[1].mutable_view(),
                                              grads[2].mutable_view());
                  return grads;
                });
  return batch.dims() == 2 ? y : reshape(y, shape_of(batch, length, value.size(-1)));
}

}  // namespace rstorch
