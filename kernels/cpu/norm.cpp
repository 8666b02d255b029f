#include "kernels/norm.h"

#include <algorithm>
#include <cmath>

#include "kernels/cpu/lanes.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/scratch.h"
#include "kernels/cpu/simd.h"

namespace rstorch::kernels {
namespace {

// How x [batch, channels, ...] lies in memory: as planes [batch, channels, inner], or as rows [batch * inner,
// channels].
struct Layout {
  int64_t batch, channels, inner;
  bool rows;

  explicit Layout(const ConstView& x) : batch(x.size(0)), channels(x.size(1)), inner(1) {
    for (int i = 2; i < x.dims(); ++i) inner *= x.shape[i];
    rows = inner == 1 || !x.contiguous();
  }
  int64_t count() const { return batch * inner; }  // elements of a channel
  bool empty() const { return count() * channels == 0; }
};

constexpr int64_t kBlock = 16;  // channels of a task where they are neighbours

// Sums of the rows [begin, end) for the `width` channels from `first` on, to out[k * channels + c].
template <int K, class F>
void sum_rows(int64_t begin, int64_t end, int64_t channels, int64_t first, double* out, F f) {
  vectorised([=, width = std::min(kBlock, channels - first)] {
    double sums[K][kBlock] = {};
    const auto add_row = [&](int64_t row, int64_t c) {
      const auto terms = f(first + c, row * channels + first + c);
      for (int k = 0; k < K; ++k) sums[k][c] += terms.value[k];
    };
    for (int64_t row = begin; row < end; ++row) {
      if (width == kBlock) {
        for (int64_t c = 0; c < kBlock; ++c) add_row(row, c);
      } else {
        for (int64_t c = 0; c < width; ++c) add_row(row, c);
      }
    }
    for (int k = 0; k < K; ++k) std::copy_n(sums[k], width, out + k * channels + first);
  });
}

// The same for the planes of channel c in the images [begin, end).
template <int K, class F>
void sum_planes(int64_t begin, int64_t end, const Layout& at, int64_t c, double* out, F f) {
  vectorised([=] {
    constexpr int kLanes = 8;
    double lanes[K][kLanes] = {};
    for (int64_t n = begin; n < end; ++n) {
      const int64_t first = (n * at.channels + c) * at.inner;
      int64_t i = 0;
      for (; i + kLanes <= at.inner; i += kLanes) {
        for (int l = 0; l < kLanes; ++l) {
          const auto terms = f(c, first + i + l);
          for (int k = 0; k < K; ++k) lanes[k][l] += terms.value[k];
        }
      }
      for (int l = 0; i + l < at.inner; ++l) {
        const auto terms = f(c, first + i + l);
        for (int k = 0; k < K; ++k) lanes[k][l] += terms.value[k];
      }
    }
    for (int k = 0; k < K; ++k) {
      double sum = 0;
      for (int l = 0; l < kLanes; ++l) sum += lanes[k][l];
      out[k * at.channels + c] = sum;
    }
  });
}

// Sums over the elements of each channel, in f64: out[k * channels + c] for the k-th of K sums. f(c, i) gives, for the
// element at x[i] of channel c, the K terms as an array. Work is cut by channels and, so that few channels keep all
// threads busy, by rows or images: into chunks that depend on the shape only, added up in order, and so do the bits.
template <int K, class F>
void channel_sums(const CpuStream& stream, const Layout& at, double* out, F f) {
  if (at.empty()) return void(std::fill_n(out, K * at.channels, 0.0));
  constexpr int64_t most_chunks = 32, elements = 8192;  // a chunk has at least about that many of one task
  const int64_t length = at.rows ? at.count() : at.batch,
                groups = at.rows ? divide_up(at.channels, kBlock) : at.channels;
  const int64_t each = at.rows ? std::min(kBlock, at.channels) : at.inner;  // elements of a task in a row or an image
  const int64_t chunks = std::clamp<int64_t>(length * each / elements, 1, std::min(most_chunks, length));
  const int64_t size = K * at.channels;
  const Scratch<double> partial(stream, chunks > 1 ? chunks * size : 0);
  parallel_tasks(chunks * groups, length * each / chunks, [&](int64_t from, int64_t to) {
    for (int64_t task = from; task < to; ++task) {
      const int64_t chunk = task / groups, group = task % groups;
      const int64_t begin = length * chunk / chunks, end = length * (chunk + 1) / chunks;
      double* const sums = chunks > 1 ? partial.data() + chunk * size : out;
      if (at.rows) {
        sum_rows<K>(begin, end, at.channels, group * kBlock, sums, f);
      } else {
        sum_planes<K>(begin, end, at, group, sums, f);
      }
    }
  });
  if (chunks == 1) return;
  std::copy_n(partial.data(), size, out);
  for (int64_t chunk = 1; chunk < chunks; ++chunk) {
    for (int64_t i = 0; i < size; ++i) out[i] += partial.data()[chunk * size + i];
  }
}

struct Two {
  double value[2];
};

// Calls f(c, i) for every element x[i], with its channel.
template <class F>
void for_each_element(const Layout& at, F f) {
  if (at.empty()) return;
  if (at.rows) {
    return parallel_for(at.count(), std::max<int64_t>(kGrain / at.channels, 1), [&](int64_t begin, int64_t end) {
      vectorised([=, channels = at.channels] {
        for (int64_t row = begin; row < end; ++row) {
#pragma GCC ivdep
          for (int64_t c = 0; c < channels; ++c) f(c, row * channels + c);
        }
      });
    });
  }
  parallel_for(at.batch * at.channels, std::max<int64_t>(kGrain / at.inner, 1), [&](int64_t begin, int64_t end) {
    vectorised([=, channels = at.channels, inner = at.inner] {
      for (int64_t plane = begin; plane < end; ++plane) {
        const int64_t c = plane % channels;
#pragma GCC ivdep
        for (int64_t i = plane * inner; i < (plane + 1) * inner; ++i) f(c, i);
      }
    });
  });
}

void batch_norm_moments_cpu(CpuStream& stream, ConstView x, View moments) {
  const Layout at(x);
  const double share = 1 / std::max(double(at.count()), 1.0);
  double* const means = moments.as<double>() + 1;
  double* const squares = means + at.channels;
  moments.as<double>()[0] = double(at.count());
  dispatch(FullFloats{}, x.dtype, "batch_norm_moments", [&]<class T>(Type<T>) {
    // Distances from the channel's first element, so that a large common offset does not swallow the variance.
    const Scratch<T> shift(stream, at.channels);
    for (int64_t c = 0; c < at.channels; ++c) {
      shift.data()[c] = at.empty() ? T(0) : x.as<T>()[at.rows ? c : c * at.inner];
    }
    channel_sums<2>(stream, at, means, [values = x.as<T>(), from = shift.data()](int64_t c, int64_t i) {
      const double d = double(values[i]) - double(from[c]);
      return Two{{d, d * d}};
    });
    for (int64_t c = 0; c < at.channels; ++c) {
      const double distance = means[c] * share;
      squares[c] = std::max(squares[c] - distance * means[c], 0.0);
      means[c] = double(shift.data()[c]) + distance;
    }
  });
}

// The moments of the batches that the rows describe together, joined in their order (Chan, Golub & LeVeque 1979).
void join_moments(const ConstView& rows, double* joined) {
  const int64_t columns = rows.size(1), channels = columns / 2;
  const double* row = rows.as<double>();
  std::copy_n(row, columns, joined);
  for (int64_t i = 1; i < rows.size(0); ++i) {
    row += columns;
    if (row[0] == 0) continue;
    const double count = joined[0], share = row[0] / (count + row[0]);
    for (int64_t c = 1; c <= channels; ++c) {
      const double distance = row[c] - joined[c];
      joined[c] += distance * share;
      joined[channels + c] += row[channels + c] + distance * (share * count) * distance;
    }
    joined[0] = count + row[0];
  }
}

void batch_norm_statistics_cpu(CpuStream& stream, ConstView moments, double eps, double momentum, View mean,
                               View invstd, View running_mean, View running_var) {
  const Scratch<double> joined(stream, moments.size(1));
  join_moments(moments, joined.data());
  const double* const means = joined.data() + 1;
  const double* const squares = means + mean.numel();
  const double count = joined.data()[0], biased = 1 / std::max(count, 1.0), unbiased = 1 / (count - 1);
  const bool update = running_mean.defined() && count > 0;
  dispatch(FullFloats{}, mean.dtype, "batch_norm_statistics", [&]<class T>(Type<T>) {
    for (int64_t c = 0; c < mean.numel(); ++c) {
      mean.as<T>()[c] = T(means[c]);
      invstd.as<T>()[c] = T(1 / std::sqrt(squares[c] * biased + eps));
      if (!update) continue;
      T& kept_mean = running_mean.as<T>()[c];
      T& kept_var = running_var.as<T>()[c];
      kept_mean = T((1 - momentum) * double(kept_mean) + momentum * means[c]);
      kept_var = T((1 - momentum) * double(kept_var) + momentum * squares[c] * unbiased);
    }
  });
}

void batch_norm_invstd_cpu(CpuStream&, ConstView var, double eps, View invstd) {
  dispatch(FullFloats{}, var.dtype, "batch_norm_invstd", [&]<class T>(Type<T>) {
    for (int64_t c = 0; c < var.numel(); ++c) invstd.as<T>()[c] = T(1 / std::sqrt(double(var.as<T>()[c]) + eps));
  });
}

void batch_norm_cpu(CpuStream& stream, ConstView x, ConstView mean, ConstView invstd, ConstView weight, ConstView bias,
                    View y) {
  const Layout at(x);
  dispatch(FullFloats{}, x.dtype, "batch_norm", [&]<class T>(Type<T>) {
    const Scratch<T> factors(stream, 2 * at.channels);
    T* const scale = factors.data();
    T* const shift = scale + at.channels;
    for (int64_t c = 0; c < at.channels; ++c) {
      scale[c] = invstd.as<T>()[c] * (weight.defined() ? weight.as<T>()[c] : T(1));
      shift[c] = bias.defined() ? bias.as<T>()[c] : T(0);
    }
    for_each_element(at, [=, in = x.as<T>(), center = mean.as<T>(), out = y.as<T>()](int64_t c, int64_t i) {
      out[i] = (in[i] - center[c]) * scale[c] + shift[c];
    });
  });
}

void batch_norm_sums_cpu(CpuStream& stream, ConstView dy, ConstView x, ConstView mean, ConstView invstd, View sums,
                         View dweight, View dbias) {
  const Layout at(x);
  double* const sum_dy = sums.as<double>() + 1;
  const double* const sum_dy_x = sum_dy + at.channels;
  sums.as<double>()[0] = double(at.count());
  dispatch(FullFloats{}, x.dtype, "batch_norm_sums", [&]<class T>(Type<T>) {
    channel_sums<2>(stream, at, sum_dy,
                    [in = x.as<T>(), out = dy.as<T>(), center = mean.as<T>()](int64_t c, int64_t i) {
                      const double g = double(out[i]);
                      return Two{{g, g * (double(in[i]) - double(center[c]))}};
                    });
    for (int64_t c = 0; c < at.channels; ++c) {
      if (dbias.defined()) dbias.as<T>()[c] = T(sum_dy[c]);
      if (dweight.defined()) dweight.as<T>()[c] = T(sum_dy_x[c] * double(invstd.as<T>()[c]));
    }
  });
}

void batch_norm_input_gradient_cpu(CpuStream& stream, ConstView dy, ConstView x, ConstView mean, ConstView invstd,
                                   ConstView weight, ConstView sums, View dx) {
  const Layout at(x);
  dispatch(FullFloats{}, x.dtype, "batch_norm_input_gradient", [&]<class T>(Type<T>) {
    // dx = scale (dy - offset - (x - mean) slope); with fixed statistics only the first term.
    const Scratch<T> factors(stream, 3 * at.channels);
    T* const scale = factors.data();
    T* const offset = scale + at.channels;
    T* const slope = offset + at.channels;
    std::fill_n(offset, 2 * at.channels, T(0));
    for (int64_t c = 0; c < at.channels; ++c) {
      const double inverse = double(invstd.as<T>()[c]);
      scale[c] = T(inverse * (weight.defined() ? double(weight.as<T>()[c]) : 1));
      if (!sums.defined()) continue;
      const double* const row = sums.as<double>();
      const double through = 1 / row[0];
      offset[c] = T(row[1 + c] * through);
      slope[c] = T(row[1 + at.channels + c] * inverse * inverse * through);
    }
    for_each_element(
        at, [=, in = x.as<T>(), out = dy.as<T>(), center = mean.as<T>(), to = dx.as<T>()](int64_t c, int64_t i) {
          to[i] = scale[c] * (out[i] - offset[c] - (in[i] - center[c]) * slope[c]);
        });
  });
}

template <class T>
void normalise_row(const T* x, const T* weight, const T* bias, double eps, T* y, T* mean, T* invstd, int64_t n) {
  vectorised([=] {
    const T average = sum_lanes<T>(n, [=](int64_t i) { return x[i]; }) / T(n);
    const T square = sum_lanes<T>(n, [=](int64_t i) { return (x[i] - average) * (x[i] - average); }) / T(n);
    const T inverse = T(1) / std::sqrt(square + T(eps));
    *mean = average;
    *invstd = inverse;
    if (weight && bias) {
      for (int64_t i = 0; i < n; ++i) y[i] = (x[i] - average) * inverse * weight[i] + bias[i];
    } else if (weight) {
      for (int64_t i = 0; i < n; ++i) y[i] = (x[i] - average) * inverse * weight[i];
    } else {
      for (int64_t i = 0; i < n; ++i) y[i] = (x[i] - average) * inverse + (bias ? bias[i] : T(0));
    }
  });
}

template <class T>
const T* optional(const ConstView& view) {
  return view.defined() ? view.as<T>() : nullptr;
}

void layer_norm_cpu(CpuStream&, ConstView x, ConstView weight, ConstView bias, double eps, View y, View mean,
                    View invstd) {
  const int64_t rows = x.size(0), columns = x.size(1);
  dispatch(FullFloats{}, x.dtype, "layer_norm", [&]<class T>(Type<T>) {
    parallel_for(rows, std::max<int64_t>(kGrain / columns, 1), [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        normalise_row(x.as<T>() + r * columns, optional<T>(weight), optional<T>(bias), eps, y.as<T>() + r * columns,
                      mean.as<T>() + r, invstd.as<T>() + r, columns);
      }
    });
  });
}

// With h = (x - mean) invstd and g = dy weight: dx = invstd (g - mean(g) - h mean(g h)).
template <class T>
void row_gradient(const T* dy, const T* x, const T* weight, T mean, T invstd, T* dx, int64_t n) {
  vectorised([=] {
    const auto g = [=](int64_t i) { return weight ? dy[i] * weight[i] : dy[i]; };
    const T mean_g = sum_lanes<T>(n, g) / T(n);
    const T mean_gh = sum_lanes<T>(n, [=](int64_t i) { return g(i) * (x[i] - mean) * invstd; }) / T(n);
    for (int64_t i = 0; i < n; ++i) dx[i] = invstd * (g(i) - mean_g - (x[i] - mean) * invstd * mean_gh);
  });
}

constexpr int64_t kRowsPerPartial = 256;  // rows whose weight gradients one task adds up

void layer_norm_backward_cpu(CpuStream& stream, ConstView dy, ConstView x, ConstView weight, ConstView mean,
                             ConstView invstd, View dx, View dweight, View dbias) {
  const int64_t rows = x.size(0), columns = std::max<int64_t>(x.size(1), 1);
  dispatch(FullFloats{}, x.dtype, "layer_norm_backward", [&]<class T>(Type<T>) {
    if (dx.defined()) {
      parallel_for(rows, std::max<int64_t>(kGrain / columns, 1), [&](int64_t begin, int64_t end) {
        for (int64_t r = begin; r < end; ++r) {
          row_gradient(dy.as<T>() + r * columns, x.as<T>() + r * columns, optional<T>(weight), mean.as<T>()[r],
                       invstd.as<T>()[r], dx.as<T>() + r * columns, columns);
        }
      });
    }
    if (!dweight.defined() && !dbias.defined()) return;
    const int64_t tasks = divide_up(rows, kRowsPerPartial);
    const Scratch<T> partial(stream, tasks * 2 * columns);  // per task: dweight, dbias
    parallel_for(tasks, std::max<int64_t>(kGrain / (kRowsPerPartial * columns), 1), [&](int64_t begin, int64_t end) {
      for (int64_t task = begin; task < end; ++task) {
        vectorised([=, for_weight = partial.data() + task * 2 * columns, out = dy.as<T>(), in = x.as<T>(),
                    center = mean.as<T>(), inverse = invstd.as<T>()] {
          T* const for_bias = for_weight + columns;
          std::fill_n(for_weight, 2 * columns, T(0));
          for (int64_t r = task * kRowsPerPartial; r < std::min(rows, (task + 1) * kRowsPerPartial); ++r) {
#pragma GCC ivdep
            for (int64_t c = 0; c < columns; ++c) {
              const T g = out[r * columns + c];
              for_weight[c] += g * (in[r * columns + c] - center[r]) * inverse[r];
              for_bias[c] += g;
            }
          }
        });
      }
    });
    const auto total = [&](const View& out, int64_t offset) {
      if (!out.defined()) return;
      for (int64_t c = 0; c < columns; ++c) {
        double sum = 0;
        for (int64_t task = 0; task < tasks; ++task) sum += double(partial.data()[task * 2 * columns + offset + c]);
        out.as<T>()[c] = T(sum);
      }
    };
    total(dweight, 0);
    total(dbias, columns);
  });
}

}  // namespace

Kernel<ConstView, View> batch_norm_moments{"batch_norm_moments", batch_norm_moments_cpu};
Kernel<ConstView, double, double, View, View, View, View> batch_norm_statistics{"batch_norm_statistics",
                                                                                batch_norm_statistics_cpu};
Kernel<ConstView, double, View> batch_norm_invstd{"batch_norm_invstd", batch_norm_invstd_cpu};
Kernel<ConstView, ConstView, ConstView, ConstView, ConstView, View> batch_norm{"batch_norm", batch_norm_cpu};
Kernel<ConstView, ConstView, ConstView, ConstView, View, View, View> batch_norm_sums{"batch_norm_sums",
                                                                                     batch_norm_sums_cpu};
Kernel<ConstView, ConstView, ConstView, ConstView, ConstView, ConstView, View> batch_norm_input_gradient{
    "batch_norm_input_gradient", batch_norm_input_gradient_cpu};
Kernel<ConstView, ConstView, ConstView, double, View, View, View> layer_norm{"layer_norm", layer_norm_cpu};
Kernel<ConstView, ConstView, ConstView, ConstView, ConstView, View, View, View> layer_norm_backward{
    "layer_norm_backward", layer_norm_backward_cpu};

}  // namespace rstorch::kernels
