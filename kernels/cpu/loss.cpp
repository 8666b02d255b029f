#include "kernels/loss.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>

#include "kernels/cpu/lanes.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/scratch.h"
#include "kernels/cpu/simd.h"
#include "kernels/math.h"

namespace rstorch::kernels {
namespace {

// Rows of a cross-entropy: [batch, classes, inner] has batch * inner of them, each of `classes` elements `inner` apart.
struct Rows {
  int64_t classes, inner, count;
  explicit Rows(const ConstView& logits)
      : classes(logits.size(1)), inner(logits.size(2)), count(logits.size(0) * logits.size(2)) {}
  int64_t first(int64_t row) const { return row / inner * classes * inner + row % inner; }
};

void check_targets(const int64_t* target, int64_t count, int64_t classes, int64_t ignore_index) {
  for (int64_t i = 0; i < count; ++i) {
    if ((target[i] >= 0 && target[i] < classes) || target[i] == ignore_index) continue;
    throw ArgumentError(
        format("cross_entropy: target {} is {}, wanted a class from 0 to {}", i, target[i], classes - 1),
        "check the labels, or that the last layer has as many outputs as there are classes");
  }
}

// What one row adds to the loss: (1 - s) w[t] (lse - x[t]) + s / classes * sum_c w[c] (lse - x[c]).
template <class T>
struct RowLoss {
  T log_sum_exp, loss;
};

template <class T>
RowLoss<T> row_loss(const T* x, int64_t stride, int64_t classes, int64_t target, const T* weight, T smoothing) {
  RowLoss<T> out{};
  vectorised([=, to = &out] {
    const auto value = [=](int64_t c) { return x[c * stride]; };
    const T top = fold<T, 8>(classes, -std::numeric_limits<T>::infinity(), value,
                             [](T a, T b) { return b > a || b != b ? b : a; });
    const T sum = sum_lanes<T, 8>(classes, [=](int64_t c) { return math::exp(value(c) - top); });
    const T lse = top + std::log(sum);
    to->log_sum_exp = lse;
    if (target < 0) return;
    to->loss = (T(1) - smoothing) * (weight ? weight[target] : T(1)) * (lse - value(target));
    if (smoothing == T(0)) return;
    to->loss += smoothing / T(classes) *
                sum_lanes<T, 8>(classes, [=](int64_t c) { return (weight ? weight[c] : T(1)) * (lse - value(c)); });
  });
  return out;
}

template <class T>
const T* optional(const ConstView& view) {
  return view.defined() ? view.as<T>() : nullptr;
}

void cross_entropy_cpu(CpuStream& stream, ConstView logits, ConstView target, ConstView weight,
                       CrossEntropySettings settings, View loss, View log_sum_exp, View divisor) {
  const Rows rows(logits);
  const int64_t* const targets = target.as<int64_t>();
  check_targets(targets, rows.count, rows.classes, settings.ignore_index);
  dispatch(FullFloats{}, logits.dtype, "cross_entropy", [&]<class T>(Type<T>) {
    const bool each = settings.reduction == Reduction::none;
    const Scratch<T> scratch(stream, each ? 1 : rows.count);
    T* const losses = each ? loss.as<T>() : scratch.data();
    parallel_for(rows.count, std::max<int64_t>(kGrain / 8 / std::max<int64_t>(rows.classes, 1), 1),
                 [&](int64_t begin, int64_t end) {
                   for (int64_t row = begin; row < end; ++row) {
                     const int64_t label = targets[row] == settings.ignore_index ? -1 : targets[row];
                     const auto result = row_loss(logits.as<T>() + rows.first(row), rows.inner, rows.classes, label,
                                                  optional<T>(weight), T(settings.label_smoothing));
                     log_sum_exp.as<T>()[row] = result.log_sum_exp;
                     losses[row] = result.loss;
                   }
                 });
    double total = 0, weights = 0;
    for (int64_t row = 0; row < rows.count; ++row) {
      if (targets[row] == settings.ignore_index) continue;
      total += double(losses[row]);
      weights += weight.defined() ? double(weight.as<T>()[targets[row]]) : 1.0;
    }
    *divisor.as<T>() = T(weights);
    // All ignored: 0 / 0, NaN, as PyTorch.
    if (!each) *loss.as<T>() = T(settings.reduction == Reduction::mean ? total / weights : total);
  });
}

// dx[c] = g ((1 - s) w[t] (p[c] - [c == t]) + s / classes * (p[c] sum w - w[c])), p = softmax.
template <class T>
void row_gradient(const T* x, T* dx, int64_t stride, int64_t classes, int64_t target, const T* weight, T smoothing,
                  T lse, T g) {
  vectorised([=] {
    const T own = (T(1) - smoothing) * (weight ? weight[target] : T(1));
    const T spread = smoothing / T(classes);
    const T all = smoothing == T(0) ? T(0)
                  : weight          ? spread * sum_lanes<T, 8>(classes, [=](int64_t c) { return weight[c]; })
                                    : smoothing;
    for (int64_t c = 0; c < classes; ++c) dx[c * stride] = g * (own + all) * math::exp(x[c * stride] - lse);
    if (smoothing != T(0)) {
      for (int64_t c = 0; c < classes; ++c) dx[c * stride] -= g * spread * (weight ? weight[c] : T(1));
    }
    dx[target * stride] -= g * own;
  });
}

void cross_entropy_backward_cpu(CpuStream&, ConstView dy, ConstView logits, ConstView target, ConstView weight,
                                CrossEntropySettings settings, ConstView log_sum_exp, ConstView divisor, View dlogits) {
  const Rows rows(logits);
  const int64_t* const targets = target.as<int64_t>();
  dispatch(FullFloats{}, logits.dtype, "cross_entropy_backward", [&]<class T>(Type<T>) {
    const bool each = settings.reduction == Reduction::none;
    const T scale = settings.reduction == Reduction::mean ? T(1) / *divisor.as<T>() : T(1);
    parallel_for(rows.count, std::max<int64_t>(kGrain / 8 / std::max<int64_t>(rows.classes, 1), 1),
                 [&](int64_t begin, int64_t end) {
                   for (int64_t row = begin; row < end; ++row) {
                     T* const dx = dlogits.as<T>() + rows.first(row);
                     if (targets[row] == settings.ignore_index) {
                       for (int64_t c = 0; c < rows.classes; ++c) dx[c * rows.inner] = T(0);
                       continue;
                     }
                     row_gradient(logits.as<T>() + rows.first(row), dx, rows.inner, rows.classes, targets[row],
                                  optional<T>(weight), T(settings.label_smoothing), log_sum_exp.as<T>()[row],
                                  dy.as<T>()[each ? row : 0] * scale);
                   }
                 });
  });
}

// Pieces are cut the same way for any number of threads, so that sums are the same too.
constexpr int64_t kPiece = 4096;

// y = the reduction of value(i) over i in [0, n).
template <class T, class F>
void reduce(const CpuStream& stream, int64_t n, Reduction reduction, T* y, F value) {
  if (reduction == Reduction::none) {
    return parallel_for(n, kGrain, [&](int64_t begin, int64_t end) {
      vectorised([=] {
        for (int64_t i = begin; i < end; ++i) y[i] = value(i);
      });
    });
  }
  const int64_t pieces = divide_up(n, kPiece);
  const Scratch<double> sums(stream, pieces);
  parallel_for(pieces, kGrain / kPiece, [&](int64_t begin, int64_t end) {
    for (int64_t piece = begin; piece < end; ++piece) {
      double* const to = sums.data() + piece;
      vectorised([=] {
        *to = sum_lanes<double>(std::min(kPiece, n - piece * kPiece),
                                [=](int64_t i) { return double(value(piece * kPiece + i)); });
      });
    }
  });
  double total = 0;
  for (int64_t piece = 0; piece < pieces; ++piece) total += sums.data()[piece];
  *y = T(reduction == Reduction::mean ? total / double(n) : total);
}

// dx[i] = gradient of result i * slope(i)
template <class T, class F>
void spread(int64_t n, Reduction reduction, const T* dy, T* dx, F slope) {
  const bool each = reduction == Reduction::none;
  const T scale = each ? T(1) : reduction == Reduction::mean ? *dy / T(n) : *dy;
  parallel_for(n, kGrain, [&](int64_t begin, int64_t end) {
    vectorised([=] {
      if (each) {
        for (int64_t i = begin; i < end; ++i) dx[i] = dy[i] * slope(i);
      } else {
        for (int64_t i = begin; i < end; ++i) dx[i] = scale * slope(i);
      }
    });
  });
}

void mse_loss_cpu(CpuStream& stream, ConstView x, ConstView target, Reduction reduction, View y) {
  dispatch(FullFloats{}, x.dtype, "mse_loss", [&]<class T>(Type<T>) {
    reduce<T>(stream, x.numel(), reduction, y.as<T>(),
              [a = x.as<T>(), b = target.as<T>()](int64_t i) { return (a[i] - b[i]) * (a[i] - b[i]); });
  });
}

void mse_loss_backward_cpu(CpuStream&, ConstView dy, ConstView x, ConstView target, Reduction reduction, View dx) {
  dispatch(FullFloats{}, x.dtype, "mse_loss_backward", [&]<class T>(Type<T>) {
    spread<T>(x.numel(), reduction, dy.as<T>(), dx.as<T>(),
              [a = x.as<T>(), b = target.as<T>()](int64_t i) { return T(2) * (a[i] - b[i]); });
  });
}

// pos_weight for each element, or null: a copy where it was broadcast.
template <class T>
class PosWeight {
 public:
  PosWeight(const CpuStream& stream, const ConstView& view)
      : copy_(stream, view.defined() && !view.contiguous() ? view.numel() : 0) {
    if (!view.defined()) return;
    data_ = view.as<T>();
    if (view.contiguous()) return;
    data_ = copy_.data();
    for (int64_t i = 0; i < view.numel(); ++i) {
      int64_t rest = i, offset = 0;
      for (int d = view.dims() - 1; d >= 0; --d) {
        offset += rest % view.shape[d] * view.strides[d];
        rest /= view.shape[d];
      }
      copy_.data()[i] = view.as<T>()[offset];
    }
  }
  const T* data() const { return data_; }

 private:
  Scratch<T> copy_;
  const T* data_ = nullptr;
};

// With w = 1 + (pos_weight - 1) t: (1 - t) x + w (log(1 + exp(-|x|)) + max(-x, 0)), PyTorch's stable form.
void bce_with_logits_cpu(CpuStream& stream, ConstView x, ConstView target, ConstView pos_weight, Reduction reduction,
                         View y) {
  dispatch(FullFloats{}, x.dtype, "bce_with_logits", [&]<class T>(Type<T>) {
    const PosWeight<T> weight(stream, pos_weight);
    reduce<T>(stream, x.numel(), reduction, y.as<T>(),
              [a = x.as<T>(), t = target.as<T>(), p = weight.data()](int64_t i) {
                const T w = p ? T(1) + (p[i] - T(1)) * t[i] : T(1);
                const T magnitude = a[i] < T(0) ? -a[i] : a[i];
                return (T(1) - t[i]) * a[i] + w * (std::log1p(math::exp(-magnitude)) + (a[i] < T(0) ? -a[i] : T(0)));
              });
  });
}

void bce_with_logits_backward_cpu(CpuStream& stream, ConstView dy, ConstView x, ConstView target, ConstView pos_weight,
                                  Reduction reduction, View dx) {
  dispatch(FullFloats{}, x.dtype, "bce_with_logits_backward", [&]<class T>(Type<T>) {
    const PosWeight<T> weight(stream, pos_weight);
    spread<T>(x.numel(), reduction, dy.as<T>(), dx.as<T>(),
              [a = x.as<T>(), t = target.as<T>(), p = weight.data()](int64_t i) {
                const T w = p ? T(1) + (p[i] - T(1)) * t[i] : T(1);
                return (T(1) - t[i]) - w * math::sigmoid(-a[i]);
              });
  });
}

}  // namespace

Kernel<ConstView, ConstView, ConstView, CrossEntropySettings, View, View, View> cross_entropy{"cross_entropy",
                                                                                              cross_entropy_cpu};
Kernel<ConstView, ConstView, ConstView, ConstView, CrossEntropySettings, ConstView, ConstView, View>
    cross_entropy_backward{"cross_entropy_backward", cross_entropy_backward_cpu};
Kernel<ConstView, ConstView, Reduction, View> mse_loss{"mse_loss", mse_loss_cpu};
Kernel<ConstView, ConstView, ConstView, Reduction, View> mse_loss_backward{"mse_loss_backward", mse_loss_backward_cpu};
Kernel<ConstView, ConstView, ConstView, Reduction, View> bce_with_logits{"bce_with_logits", bce_with_logits_cpu};
Kernel<ConstView, ConstView, ConstView, ConstView, Reduction, View> bce_with_logits_backward{
    "bce_with_logits_backward", bce_with_logits_backward_cpu};

}  // namespace rstorch::kernels
