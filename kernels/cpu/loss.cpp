#include "kernels/loss.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>

#include "kernels/cpu/lanes.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/scratch.h"
#include "kernels/cpu/simd.h"
#include "kernels/cpu/walk.h"
#include "kernels/index_error.h"
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
    throw target_error({"cross_entropy", i, target[i], classes});
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

// Calls f(piece, count, buffer) for the pieces of [0, n), each `count` elements from piece * kPiece on. The buffer has
// room for a piece.
template <class T, class F>
void for_each_piece(int64_t n, F f) {
  parallel_for(divide_up(n, kPiece), kGrain / kPiece, [&](int64_t begin, int64_t end) {
    alignas(64) T buffer[kPiece];
    for (int64_t piece = begin; piece < end; ++piece) f(piece, std::min(kPiece, n - piece * kPiece), buffer);
  });
}

// y = the reduction of n values. values_of(begin, count, buffer) gives those of a piece, as a function of i in
// [0, count).
template <class T, class F>
void reduce(const CpuStream& stream, int64_t n, Reduction reduction, T* y, F values_of) {
  if (reduction == Reduction::none) {
    return for_each_piece<T>(n, [&](int64_t piece, int64_t count, T* buffer) {
      vectorised([to = y + piece * kPiece, count, value = values_of(piece * kPiece, count, buffer)] {
        for (int64_t i = 0; i < count; ++i) to[i] = value(i);
      });
    });
  }
  const int64_t pieces = divide_up(n, kPiece);
  const Scratch<double> sums(stream, pieces);
  for_each_piece<T>(n, [&](int64_t piece, int64_t count, T* buffer) {
    vectorised([to = sums.data() + piece, count, value = values_of(piece * kPiece, count, buffer)] {
      *to = sum_lanes<double>(count, [=](int64_t i) { return double(value(i)); });
    });
  });
  double total = 0;
  for (int64_t piece = 0; piece < pieces; ++piece) total += sums.data()[piece];
  *y = T(reduction == Reduction::mean ? total / double(n) : total);
}

// dx[i] = gradient of result i * its slope; slopes_of as values_of above.
template <class T, class F>
void spread(int64_t n, Reduction reduction, const T* dy, T* dx, F slopes_of) {
  const bool each = reduction == Reduction::none;
  const T scale = each ? T(1) : reduction == Reduction::mean ? *dy / T(n) : *dy;
  for_each_piece<T>(n, [&](int64_t piece, int64_t count, T* buffer) {
    const int64_t begin = piece * kPiece;
    vectorised([=, from = dy + (each ? begin : 0), to = dx + begin, slope = slopes_of(begin, count, buffer)] {
      if (each) {
        for (int64_t i = 0; i < count; ++i) to[i] = from[i] * slope(i);
      } else {
        for (int64_t i = 0; i < count; ++i) to[i] = scale * slope(i);
      }
    });
  });
}

void mse_loss_cpu(CpuStream& stream, ConstView x, ConstView target, Reduction reduction, View y) {
  dispatch(FullFloats{}, x.dtype, "mse_loss", [&]<class T>(Type<T>) {
    reduce<T>(stream, x.numel(), reduction, y.as<T>(), [&](int64_t begin, int64_t, T*) {
      return [a = x.as<T>() + begin, b = target.as<T>() + begin](int64_t i) { return (a[i] - b[i]) * (a[i] - b[i]); };
    });
  });
}

void mse_loss_backward_cpu(CpuStream&, ConstView dy, ConstView x, ConstView target, Reduction reduction, View dx) {
  dispatch(FullFloats{}, x.dtype, "mse_loss_backward", [&]<class T>(Type<T>) {
    spread<T>(x.numel(), reduction, dy.as<T>(), dx.as<T>(), [&](int64_t begin, int64_t, T*) {
      return [a = x.as<T>() + begin, b = target.as<T>() + begin](int64_t i) { return T(2) * (a[i] - b[i]); };
    });
  });
}

// pos_weight as it was broadcast to x, piece by piece.
template <class T>
class PosWeight {
 public:
  explicit PosWeight(const ConstView& view) : view_(view) {
    for (int i = 0; i < view.dims(); ++i) {
      const int64_t size = view.shape[i], stride = view.strides[i];
      if (size == 1) continue;
      // Dimensions that are steps of one walk are one, so that rows are long.
      if (box_.dims > 0 && strides_[last()] == stride * size) {
        box_.sizes[last()] *= size;
      } else {
        box_.sizes[size_t(box_.dims++)] = size;
      }
      strides_[last()] = stride;
    }
    if (box_.dims == 0) box_.sizes[size_t(box_.dims++)] = 1;
  }

  // The weights of `count` elements, put into the buffer where they do not lie in a row; null where there are none.
  const T* of(int64_t begin, int64_t count, T* buffer) const {
    if (!view_.defined()) return nullptr;
    const T* const weights = view_.as<T>();
    const int64_t stride = strides_[last()];
    if (box_.dims == 1 && stride == 1) return weights + begin;
    T* to = buffer;
    box_.for_each_run(box_.at(begin), count, [&](const Index& index, int64_t run) {
      const T* const from = weights + box_.offset(index, strides_);
      if (stride == 1) {
        std::copy_n(from, run, to);
      } else {
        for (int64_t i = 0; i < run; ++i) to[i] = from[i * stride];
      }
      to += run;
    });
    return buffer;
  }

 private:
  size_t last() const { return size_t(box_.inner()); }

  ConstView view_;
  Box box_;
  Index strides_{};  // in elements
};

// With w = 1 + (pos_weight - 1) t: (1 - t) x + w log(1 + exp(-x)), PyTorch's stable form. Two types instead of a null
// pos_weight, which vectorised code would read with masks: from address 0 that takes hundreds of cycles.
template <bool weighted, class T>
struct LogitLoss {
  const T *x, *target, *pos_weight;

  T weight(int64_t i) const {
    if constexpr (weighted) return T(1) + (pos_weight[i] - T(1)) * target[i];
    return T(1);
  }
  T value(int64_t i) const { return (T(1) - target[i]) * x[i] + weight(i) * math::softplus(-x[i]); }
  T slope(int64_t i) const { return (T(1) - target[i]) - weight(i) * math::sigmoid(-x[i]); }
};

// Calls f(loss_of), where loss_of(begin, count, buffer) is the LogitLoss of a piece.
template <class T, class F>
void with_logit_loss(const ConstView& x, const ConstView& target, const ConstView& pos_weight, F f) {
  const PosWeight<T> weights(pos_weight);
  const auto call = [&]<bool weighted>(std::bool_constant<weighted>) {
    f([&](int64_t begin, int64_t count, T* buffer) -> LogitLoss<weighted, T> {
      return {x.as<T>() + begin, target.as<T>() + begin, weights.of(begin, count, buffer)};
    });
  };
  pos_weight.defined() ? call(std::true_type{}) : call(std::false_type{});
}

void bce_with_logits_cpu(CpuStream& stream, ConstView x, ConstView target, ConstView pos_weight, Reduction reduction,
                         View y) {
  dispatch(FullFloats{}, x.dtype, "bce_with_logits", [&]<class T>(Type<T>) {
    with_logit_loss<T>(x, target, pos_weight, [&](const auto& loss_of) {
      reduce<T>(stream, x.numel(), reduction, y.as<T>(), [&](int64_t begin, int64_t count, T* buffer) {
        return [loss = loss_of(begin, count, buffer)](int64_t i) { return loss.value(i); };
      });
    });
  });
}

void bce_with_logits_backward_cpu(CpuStream&, ConstView dy, ConstView x, ConstView target, ConstView pos_weight,
                                  Reduction reduction, View dx) {
  dispatch(FullFloats{}, x.dtype, "bce_with_logits_backward", [&]<class T>(Type<T>) {
    with_logit_loss<T>(x, target, pos_weight, [&](const auto& loss_of) {
      spread<T>(x.numel(), reduction, dy.as<T>(), dx.as<T>(), [&](int64_t begin, int64_t count, T* buffer) {
        return [loss = loss_of(begin, count, buffer)](int64_t i) { return loss.slope(i); };
      });
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
