#include "kernels/loss.h"

#include "kernels/element.h"
#include "ops/autocast.h"
#include "ops/op.h"
#include "ops/ops.h"

namespace rstorch {
namespace {

Tensor result_for(const Tensor& x, Reduction reduction, const Shape& each) {
  return Tensor::empty(reduction == Reduction::none ? each : Shape{}, x.options());
}

void require_same(const Op& op, const Tensor& x, const Tensor& target) {
  op.require_floating("x", x);
  op.require_same_device("x", x, "target", target);
  op.require_shape("target", target, x.shape());
  op.require_dtype("target", target, x.dtype());
}

}  // namespace

Tensor cross_entropy(const Tensor& given_input, const Tensor& labels, const Tensor& given_weight,
                     const CrossEntropyOptions& options) {
  const Op op("cross_entropy");
  const Tensor input = in_full_precision(given_input), weight = in_full_precision(given_weight);
  op.require_floating("logits", input);
  op.require_same_device("logits", input, "target", labels);
  op.require_dtype("target", labels, DType::i64);
  op.require_shape_that(input.dim() >= 2,
                        format("logits have shape {}, wanted [batch, classes, ...]", input.shape().text()));
  const int64_t batch = input.shape()[0], classes = input.shape()[1];
  Shape wanted = input.shape();
  wanted.erase(1);
  op.require_shape("target", labels, wanted);
  op.require(options.label_smoothing >= 0 && options.label_smoothing <= 1,
             format("label_smoothing is {}, wanted 0 to 1", options.label_smoothing));
  if (weight.defined()) {
    op.require_shape("weight", weight, {classes});
    op.require_dtype("weight", weight, input.dtype());
    op.require_same_device("logits", input, "weight", weight);
  }

  const Tensor logits = contiguous(input), target = contiguous(labels),
               class_weight = weight.defined() ? contiguous(weight) : weight;
  const int64_t inner = batch > 0 ? target.numel() / batch : 1;
  const auto as_rows = [batch, classes, inner](const Tensor& x) -> View {
    const Shape shape = {batch, classes, inner};
    return {x.raw_data(), shape, contiguous_strides(shape), x.dtype()};
  };
  const kernels::CrossEntropySettings settings{options.reduction, options.label_smoothing, options.ignore_index};
  Tensor loss = result_for(logits, options.reduction, wanted);
  const TensorOptions kept = {kernels::compute_dtype(logits.dtype()), logits.device()};
  const Tensor log_sum_exp = Tensor::empty(wanted, kept), divisor = Tensor::empty({}, kept);
  kernels::cross_entropy(op.stream(logits), as_rows(logits), target.view(), class_weight.view(), settings,
                         loss.mutable_view(), log_sum_exp.mutable_view(), divisor.mutable_view());
  return op.record(loss, inputs(input), saves(logits, target, class_weight, log_sum_exp, divisor),
                   [op, settings, as_rows](const Saved& saved, const Tensor& gradient) {
                     const Tensor dy = contiguous(gradient);
                     Tensor dlogits = empty_like(saved[0]);
                     kernels::cross_entropy_backward(op.stream(dy), dy.view(), as_rows(saved[0]), saved[1].view(),
                                                     saved[2].view(), settings, saved[3].view(), saved[4].view(),
                                                     as_rows(dlogits));
                     return Grads{dlogits};
                   });
}

Tensor mse_loss(const Tensor& given_input, const Tensor& given_target, Reduction reduction) {
  const Op op("mse_loss");
  const Tensor input = in_full_precision(given_input), wanted = in_full_precision(given_target);
  require_same(op, input, wanted);
  const Tensor x = contiguous(input), target = contiguous(wanted);
  Tensor y = result_for(x, reduction, x.shape());
  kernels::mse_loss(op.stream(x), x.view(), target.view(), reduction, y.mutable_view());
  return op.record(y, inputs(input, wanted), saves(x, target),
                   [op, reduction](const Saved& saved, const Tensor& gradient) {
                     const Tensor dy = contiguous(gradient);
                     Tensor dx = empty_like(saved[0]);
                     kernels::mse_loss_backward(op.stream(dx), dy.view(), saved[0].view(), saved[1].view(), reduction,
                                                dx.mutable_view());
                     return Grads{dx, saved.needs(1) ? neg(dx) : Tensor()};
                   });
}

Tensor binary_cross_entropy_with_logits(const Tensor& given_input, const Tensor& given_target,
                                        const Tensor& given_pos_weight, Reduction reduction) {
  const Op op("binary_cross_entropy_with_logits");
  const Tensor input = in_full_precision(given_input), wanted = in_full_precision(given_target),
               pos_weight = in_full_precision(given_pos_weight);
  require_same(op, input, wanted);
  const Tensor x = contiguous(input), target = contiguous(wanted);
  Tensor weight;
  if (pos_weight.defined()) {
    op.require_dtype("pos_weight", pos_weight, x.dtype());
    op.require_same_device("logits", x, "pos_weight", pos_weight);
    weight = expand(pos_weight.detach(), x.shape());
  }
  Tensor y = result_for(x, reduction, x.shape());
  kernels::bce_with_logits(op.stream(x), x.view(), target.view(), weight.view(), reduction, y.mutable_view());
  // The target is data: as in most uses of PyTorch, it gets no gradient.
  return op.record(y, inputs(input), saves(x, target, weight),
                   [op, reduction](const Saved& saved, const Tensor& gradient) {
                     const Tensor dy = contiguous(gradient);
                     Tensor dx = empty_like(saved[0]);
                     kernels::bce_with_logits_backward(op.stream(dx), dy.view(), saved[0].view(), saved[1].view(),
                                                       saved[2].view(), reduction, dx.mutable_view());
                     return Grads{dx};
                   });
}

}  // namespace rstorch
