#include "kernels/optim.h"

#include <algorithm>
#include <atomic>
#include <cmath>

#include "kernels/cpu/lanes.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/scratch.h"
#include "kernels/cpu/simd.h"

namespace rstorch::kernels {
namespace {

template <class T>
struct SgdNumbers {
  T lr, weight_decay, grad_scale, momentum, fresh;  // fresh: share of the new gradient in the buffer
  explicit SgdNumbers(const OptimScalars& s)
      : lr(T(s.lr)),
        weight_decay(T(s.weight_decay)),
        grad_scale(T(s.grad_scale)),
        momentum(s.update() == 1 ? T(0) : T(s.momentum)),
        fresh(s.update() == 1 ? T(1) : T(1 - s.dampening)) {}
};

// The first step starts the buffer: its old contents, which may be anything, must not be multiplied by 0.
enum class Buffer { none, start, go_on };

template <Buffer buffer_is, bool nesterov, class T>
void sgd(const SgdNumbers<T>& s, T momentum, const T* dw, T* w, T* buffer, int64_t n) {
  vectorised([=] {
#pragma GCC ivdep
    for (int64_t i = 0; i < n; ++i) {
      T g = dw[i] * s.grad_scale + s.weight_decay * w[i];
      if constexpr (buffer_is != Buffer::none) {
        const T b = buffer_is == Buffer::start ? g : s.momentum * buffer[i] + s.fresh * g;
        buffer[i] = b;
        g = nesterov ? g + momentum * b : b;
      }
      w[i] -= s.lr * g;
    }
  });
}

void sgd_step_cpu(CpuStream&, Momentum kind, const OptimScalars* scalars, ConstView dw, View w, View buffer) {
  if (scalars->is_left_out()) return;
  dispatch(FullFloats{}, w.dtype, "sgd_step", [&]<class T>(Type<T>) {
    const SgdNumbers<T> numbers(*scalars);
    const T momentum = T(scalars->momentum);
    const bool first = scalars->update() == 1;
    const bool nesterov = kind == Momentum::nesterov;
    const auto step = kind == Momentum::none ? sgd<Buffer::none, false, T>
                      : first                ? (nesterov ? sgd<Buffer::start, true, T> : sgd<Buffer::start, false, T>)
                                             : (nesterov ? sgd<Buffer::go_on, true, T> : sgd<Buffer::go_on, false, T>);
    parallel_for(w.numel(), kGrain, [&](int64_t begin, int64_t end) {
      step(numbers, momentum, dw.as<T>() + begin, w.as<T>() + begin,
           buffer.defined() ? buffer.as<T>() + begin : nullptr, end - begin);
    });
  });
}

template <class T>
struct AdamNumbers {
  T grad_scale, decay_gradient, keep_weight, beta1, beta2, fresh1, fresh2, step_size, root_correction, eps;
  AdamNumbers(WeightDecay decay, const OptimScalars& s)
      : grad_scale(T(s.grad_scale)),
        decay_gradient(decay == WeightDecay::coupled ? T(s.weight_decay) : T(0)),
        keep_weight(decay == WeightDecay::decoupled ? T(1 - s.lr * s.weight_decay) : T(1)),
        beta1(T(s.beta1)),
        beta2(T(s.beta2)),
        fresh1(T(1 - s.beta1)),
        fresh2(T(1 - s.beta2)),
        step_size(T(s.lr / (1 - std::pow(s.beta1, double(s.update()))))),
        root_correction(T(std::sqrt(1 - std::pow(s.beta2, double(s.update()))))),
        eps(T(s.eps)) {}
};

template <bool amsgrad, class T>
void adam(const AdamNumbers<T>& s, const T* dw, T* w, T* m, T* v, T* max_v, int64_t n) {
  vectorised([=] {
#pragma GCC ivdep
    for (int64_t i = 0; i < n; ++i) {
      const T weight = w[i] * s.keep_weight;
      const T g = dw[i] * s.grad_scale + s.decay_gradient * w[i];
      const T mean = m[i] + s.fresh1 * (g - m[i]);
      const T square = s.beta2 * v[i] + s.fresh2 * g * g;
      m[i] = mean;
      v[i] = square;
      T largest = square;
      if constexpr (amsgrad) {
        largest = max_v[i] > square ? max_v[i] : square;
        max_v[i] = largest;
      }
      w[i] = weight - s.step_size * mean / (std::sqrt(largest) / s.root_correction + s.eps);
    }
  });
}

void adam_step_cpu(CpuStream&, WeightDecay decay, const OptimScalars* scalars, ConstView dw, View w, View m, View v,
                   View max_v) {
  if (scalars->is_left_out()) return;
  dispatch(FullFloats{}, w.dtype, "adam_step", [&]<class T>(Type<T>) {
    const AdamNumbers<T> numbers(decay, *scalars);
    const auto step = max_v.defined() ? adam<true, T> : adam<false, T>;
    parallel_for(w.numel(), kGrain / 2, [&](int64_t begin, int64_t end) {
      step(numbers, dw.as<T>() + begin, w.as<T>() + begin, m.as<T>() + begin, v.as<T>() + begin,
           max_v.defined() ? max_v.as<T>() + begin : nullptr, end - begin);
    });
  });
}

// Pieces are cut the same way for any number of threads, so that sums are the same too.
constexpr int64_t kPiece = 4096;

void squared_norm_cpu(CpuStream& stream, ConstView x, View out) {
  dispatch(FullFloats{}, x.dtype, "squared_norm", [&]<class T>(Type<T>) {
    const int64_t n = x.numel(), pieces = divide_up(n, kPiece);
    const Scratch<double> sums(stream, pieces);
    parallel_for(pieces, kGrain / kPiece, [&](int64_t begin, int64_t end) {
      for (int64_t piece = begin; piece < end; ++piece) {
        const T* const values = x.as<T>() + piece * kPiece;
        const int64_t count = std::min(kPiece, n - piece * kPiece);
        double* const to = sums.data() + piece;
        vectorised(
            [=] { *to = sum_lanes<double>(count, [=](int64_t i) { return double(values[i]) * double(values[i]); }); });
      }
    });
    double total = 0;
    for (int64_t piece = 0; piece < pieces; ++piece) total += sums.data()[piece];
    *out.as<double>() = total;
  });
}

void clip_factor_cpu(CpuStream&, ConstView squares, double max_norm, View norm, View factor) {
  double total = 0;
  for (int64_t i = 0; i < squares.numel(); ++i) total += squares.as<double>()[i];
  const double length = std::sqrt(total);
  *norm.as<double>() = length;
  *factor.as<double>() = std::isfinite(length) ? std::min(1.0, max_norm / (length + 1e-6)) : 1.0;
}

void scale_by_cpu(CpuStream&, ConstView factor, View x) {
  const double number = *factor.as<double>();
  if (number == 1) return;
  dispatch(FullFloats{}, x.dtype, "scale_by", [&]<class T>(Type<T>) {
    parallel_for(x.numel(), kGrain, [&](int64_t begin, int64_t end) {
      vectorised([values = x.as<T>(), by = T(number), begin, end] {
        for (int64_t i = begin; i < end; ++i) values[i] *= by;
      });
    });
  });
}

void all_finite_cpu(CpuStream&, ConstView x, View out) {
  dispatch(FullFloats{}, x.dtype, "all_finite", [&]<class T>(Type<T>) {
    std::atomic<bool> finite{true};
    parallel_for(x.numel(), kGrain, [&](int64_t begin, int64_t end) {
      bool all = true;
      vectorised([values = x.as<T>() + begin, n = end - begin, to = &all] {
        // x * 0 is 0 for finite x and NaN otherwise; a sum keeps a NaN.
        *to = sum_lanes<T>(n, [=](int64_t i) { return values[i] * T(0); }) == T(0);
      });
      if (!all) finite.store(false, std::memory_order_relaxed);
    });
    *out.as<bool>() = finite.load();
  });
}

void unscale_cpu(CpuStream&, ConstView scale, View found, View x) {
  const double inverse = 1.0 / double(*scale.as<float>());
  dispatch(FullFloats{}, x.dtype, "unscale", [&]<class T>(Type<T>) {
    std::atomic<bool> finite{true};
    parallel_for(x.numel(), kGrain, [&](int64_t begin, int64_t end) {
      bool all = true;
      vectorised([by = T(float(inverse)), values = x.as<T>() + begin, n = end - begin, to = &all] {
        const T kept = sum_lanes<T>(n, [=](int64_t i) { return values[i] * T(0); });  // as in all_finite
        for (int64_t i = 0; i < n; ++i) values[i] *= by;
        *to = kept == T(0);
      });
      if (!all) finite.store(false, std::memory_order_relaxed);
    });
    if (!finite.load()) *found.as<bool>() = true;
  });
}

void update_loss_scale_cpu(CpuStream&, LossScaleRule rule, View found, View scale, View growth, View left_out) {
  rule.apply(*found.as<bool>(), *scale.as<float>(), *growth.as<int32_t>(), *left_out.as<int64_t>());
}

}  // namespace

Kernel<Momentum, const OptimScalars*, ConstView, View, View> sgd_step{"sgd_step", sgd_step_cpu};
Kernel<WeightDecay, const OptimScalars*, ConstView, View, View, View, View> adam_step{"adam_step", adam_step_cpu};
Kernel<ConstView, View> squared_norm{"squared_norm", squared_norm_cpu};
Kernel<ConstView, double, View, View> clip_factor{"clip_factor", clip_factor_cpu};
Kernel<ConstView, View> scale_by{"scale_by", scale_by_cpu};
Kernel<ConstView, View> all_finite{"all_finite", all_finite_cpu};
Kernel<ConstView, View, View> unscale{"unscale", unscale_cpu};
Kernel<LossScaleRule, View, View, View, View> update_loss_scale{"update_loss_scale", update_loss_scale_cpu};

}  // namespace rstorch::kernels
