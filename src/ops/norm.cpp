#include "kernels/norm.h"

#include "kernels/element.h"
#include "ops/autocast.h"
#include "ops/layout.h"
#include "ops/op.h"
#include "ops/ops.h"

namespace rstorch {
namespace {

// What stands beside x is of the type that x is computed in.
TensorOptions beside(const Tensor& x) { return {kernels::compute_dtype(x.dtype()), x.device()}; }

// For optional tensors beside x: weight, bias, statistics.
void require_beside(const Op& op, std::string_view argument, const Tensor& x, const Tensor& other, const Shape& shape) {
  if (!other.defined()) return;
  op.require_shape(argument, other, shape);
  op.require_dtype(argument, other, beside(x).dtype);
  op.require_same_device("x", x, argument, other);
}

// A gradient for the i-th input where one is wanted, else undefined.
Tensor gradient_for(const Saved& saved, int input, const Tensor& like) {
  return like.defined() && saved.needs(input) ? saved.empty_grad(input, like.shape(), like.dtype(), like.device())
                                              : Tensor();
}

void require_variance(const Op& op, const Tensor& x, bool single, std::string_view others) {
  op.require_shape_that(
      !single, format("x has shape {}{}: one value per channel has no variance to train on", x.shape().text(), others),
      "use a batch of at least 2, or drop_last: true so that the last batch is not 1");
}

// What batch normalisation sums over a batch.
Tensor empty_row(const Tensor& x) { return Tensor::empty({1 + 2 * x.size(1)}, {DType::f64, x.device()}); }

}  // namespace

Tensor batch_norm(const Tensor& input, const Tensor& weight, const Tensor& bias, const Tensor& running_mean,
                  const Tensor& running_var, const BatchNormOptions& options) {
  const Op op("batch_norm");
  op.require_floating("x", input);
  op.require_shape_that(input.dim() >= 2,
                        format("x has shape {}, wanted [batch, channels, ...]", input.shape().text()));
  const int64_t channels = input.shape()[1];
  require_beside(op, "weight", input, weight, {channels});
  require_beside(op, "bias", input, bias, {channels});
  require_beside(op, "running_mean", input, running_mean, {channels});
  require_beside(op, "running_var", input, running_var, {channels});
  op.require(running_mean.defined() == running_var.defined(),
             "one of running_mean and running_var is defined, the other not");
  const bool from_batch = options.training || !running_mean.defined();
  const bool shared = options.training && options.peers;
  const auto peers = shared && !input.device().is_meta() ? options.peers : nullptr;
  const int64_t count = input.numel() > 0 ? input.numel() / channels : 0;  // values of a channel
  require_variance(op, input, from_batch && count == 1 && !shared, "");

  const Tensor x = dense(input), scale = weight.defined() ? contiguous(weight) : weight,
               shift = bias.defined() ? contiguous(bias) : bias;
  Stream& stream = op.stream(x);
  Tensor y = empty_with_layout_of(x);
  Tensor mean = running_mean.defined() ? contiguous(running_mean) : running_mean,
         invstd = Tensor::empty({channels}, beside(x));
  if (from_batch) {
    mean = Tensor::empty({channels}, beside(x));
    const bool update = options.training && running_mean.defined();
    op.require(!update || (running_mean.is_contiguous() && running_var.is_contiguous()),
               "running_mean and running_var are written in place and must be contiguous");
    Tensor moments = empty_row(x);
    kernels::batch_norm_moments(stream, x.view(), moments.mutable_view());
    moments = peers ? peers->gather(moments) : unsqueeze(moments, 0);
    // A rank that has two values knows that there is a variance, and need not wait for the device.
    if (peers && count < 2) {
      require_variance(op, x, sum(select(moments, 1, 0)).item() == 1,
                       ", and those of all ranks one element per channel");
    }
    kernels::batch_norm_statistics(stream, moments.view(), options.eps, options.momentum, mean.mutable_view(),
                                   invstd.mutable_view(), update ? running_mean.mutable_view() : View(),
                                   update ? running_var.mutable_view() : View());
    if (update) {
      running_mean.impl()->storage->bump_version();
      running_var.impl()->storage->bump_version();
    }
  } else {
    kernels::batch_norm_invstd(stream, contiguous(running_var).view(), options.eps, invstd.mutable_view());
  }
  kernels::batch_norm(stream, x.view(), mean.view(), invstd.view(), scale.view(), shift.view(), y.mutable_view());

  return op.record(y, inputs(input, weight, bias), saves(x, mean, invstd, scale, shift),
                   [op, from_batch, peers](const Saved& saved, const Tensor& gradient) {
                     const Tensor &x = saved[0], &mean = saved[1], &invstd = saved[2];
                     const Tensor dy = in_layout(gradient, layout_of(x));
                     const Tensor dx = saved.needs(0) ? empty_with_layout_of(x) : Tensor();
                     const Tensor dweight = gradient_for(saved, 1, saved[3]), dbias = gradient_for(saved, 2, saved[4]);
                     Tensor sums;
                     if (from_batch || dweight.defined() || dbias.defined()) {
                       sums = empty_row(x);
                       kernels::batch_norm_sums(op.stream(x), dy.view(), x.view(), mean.view(), invstd.view(),
                                                sums.mutable_view(), dweight.mutable_view(), dbias.mutable_view());
                     }
                     if (peers) peers->sum(sums);  // whether dx is wanted here or not: another rank may want it
                     if (dx.defined()) {
                       kernels::batch_norm_input_gradient(op.stream(x), dy.view(), x.view(), mean.view(), invstd.view(),
                                                          saved[3].view(), from_batch ? sums.view() : ConstView(),
                                                          dx.mutable_view());
                     }
                     return Grads{dx, dweight, dbias};
                   });
}

Tensor layer_norm(const Tensor& given, const Shape& normalized_shape, const Tensor& weight, const Tensor& bias,
                  double eps) {
  const Op op("layer_norm");
  const Tensor input = in_full_precision(given);
  op.require_floating("x", input);
  const int dims = normalized_shape.dims();
  op.require_shape_that(
      dims >= 1 && dims <= input.dim() && input.shape().slice(input.dim() - dims, input.dim()) == normalized_shape,
      format("x has shape {}, its last dimensions should be {}", input.shape().text(), normalized_shape.text()));
  require_beside(op, "weight", input, weight, normalized_shape);
  require_beside(op, "bias", input, bias, normalized_shape);

  const Tensor x = contiguous(input), scale = weight.defined() ? contiguous(weight) : weight,
               shift = bias.defined() ? contiguous(bias) : bias;
  const int64_t columns = normalized_shape.numel(), rows = columns > 0 ? x.numel() / columns : 0;
  const auto matrix = [rows, columns](const Tensor& of) -> View {
    return of.defined() ? View{of.raw_data(), {rows, columns}, {columns, 1}, of.dtype()} : View();
  };
  Tensor y = empty_like(x);
  const Tensor mean = Tensor::empty({rows}, beside(x)), invstd = Tensor::empty({rows}, beside(x));
  if (x.numel() > 0) {
    kernels::layer_norm(op.stream(x), matrix(x), scale.view(), shift.view(), eps, matrix(y), mean.mutable_view(),
                        invstd.mutable_view());
  }
  return op.record(y, inputs(input, weight, bias), saves(x, mean, invstd, scale, shift),
                   [op, matrix](const Saved& saved, const Tensor& gradient) {
                     const Tensor dy = contiguous(gradient);
                     Tensor dx = saved.needs(0) ? empty_like(dy) : Tensor();
                     const Tensor dweight = gradient_for(saved, 1, saved[3]), dbias = gradient_for(saved, 2, saved[4]);
                     kernels::layer_norm_backward(op.stream(dy), matrix(dy), matrix(saved[0]), saved[3].view(),
                                                  saved[1].view(), saved[2].view(), matrix(dx), dweight.mutable_view(),
                                                  dbias.mutable_view());
                     return Grads{dx, dweight, dbias};
                   });
}

}  // namespace rstorch
