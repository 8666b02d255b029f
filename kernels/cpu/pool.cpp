#include "kernels/pool.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "kernels/cpu/parallel.h"
#include "kernels/cpu/simd.h"
#include "kernels/pool_images.h"

namespace rstorch::kernels {
namespace {

// Calls f(image) for every image, several at a time.
template <class F>
void for_each_image(const Images& images, const F& f) {
  parallel_for(images.count, std::max<int64_t>(kGrain / 4 / std::max<int64_t>(images.size(), 1), 1),
               [&](int64_t begin, int64_t end) {
                 for (int64_t image = begin; image < end; ++image) f(image);
               });
}

// The windows of one dimension: output position i reads i * stride - padding + tap * dilation for tap in [0, taps).
struct Axis {
  int64_t input, output, taps, stride, padding, dilation;

  int64_t at(int64_t i, int64_t tap) const { return i * stride - padding + tap * dilation; }
  // Taps that lie inside the input.
  int64_t first_tap(int64_t i) const { return std::max<int64_t>((padding - i * stride + dilation - 1) / dilation, 0); }
  int64_t last_tap(int64_t i) const { return std::min(taps, (input - 1 + padding - i * stride) / dilation + 1); }
  // Outputs for which this tap lies inside the input.
  int64_t first_output(int64_t tap) const {
    return std::max<int64_t>((padding - tap * dilation + stride - 1) / stride, 0);
  }
  int64_t last_output(int64_t tap) const {
    const int64_t room = input - 1 + padding - tap * dilation;
    return room < 0 ? 0 : std::min(output, room / stride + 1);
  }
};

struct Window {
  Axis rows, columns;
  Window(const Images& x, const Images& y, const PoolGeometry& g)
      : rows{x.h, y.h, g.kernel[0], g.stride[0], g.padding[0], g.dilation[0]}, columns{x.w,          y.w,
                                                                                       g.kernel[1],  g.stride[1],
                                                                                       g.padding[1], g.dilation[1]} {}
};

// Integers as wide as T, so that values and winning taps share vectors.
template <class T>
using TapOf = std::conditional_t<sizeof(T) == 8, int64_t, int32_t>;

// One row of outputs, as it grows tap by tap.
template <class T>
struct BestRow {
  std::vector<T> values;
  std::vector<TapOf<T>> taps;
  explicit BestRow(int64_t size) : values(size_t(size)), taps(size_t(size)) {}
};

// best[j] = max(best[j], x[j * step]) for j in [0, n).
template <class T>
void take_larger(const T* x, int64_t step, TapOf<T> tap, T* best, TapOf<T>* taps, int64_t n) {
  const auto loop = [=](auto stride) {
#pragma GCC ivdep
    for (int64_t j = 0; j < n; ++j) {
      const T value = x[j * stride];
      const bool wins = value > best[j] || value != value;
      best[j] = wins ? value : best[j];
      taps[j] = wins ? tap : taps[j];
    }
  };
  vectorised([=] {
    if (step == 1) return loop(std::integral_constant<int64_t, 1>{});
    if (step == 2) return loop(std::integral_constant<int64_t, 2>{});
    loop(step);
  });
}

template <class T>
void max_row(const Window& window, const T* image, int64_t width, int64_t channels, int64_t oy, BestRow<T>& best) {
  const Axis &rows = window.rows, &columns = window.columns;
  const int64_t first_row = rows.first_tap(oy);
  std::fill(best.values.begin(), best.values.end(), -std::numeric_limits<T>::infinity());
  for (int64_t ox = 0; ox < columns.output; ++ox) {
    // Where nothing is larger than minus infinity the first tap inside the image wins.
    const auto first = TapOf<T>(first_row * columns.taps + columns.first_tap(ox));
    std::fill_n(best.taps.begin() + ox * channels, channels, first);
  }
  for (int64_t ky = first_row; ky < rows.last_tap(oy); ++ky) {
    const T* const line = image + rows.at(oy, ky) * width * channels;
    for (int64_t kx = 0; kx < columns.taps; ++kx) {
      const int64_t begin = columns.first_output(kx), end = columns.last_output(kx);
      const auto tap = TapOf<T>(ky * columns.taps + kx);
      if (begin >= end) continue;
      if (channels == 1) {
        take_larger(line + columns.at(begin, kx), columns.stride, tap, best.values.data() + begin,
                    best.taps.data() + begin, end - begin);
        continue;
      }
      for (int64_t ox = begin; ox < end; ++ox) {
        take_larger(line + columns.at(ox, kx) * channels, 1, tap, best.values.data() + ox * channels,
                    best.taps.data() + ox * channels, channels);
      }
    }
  }
}

void max_pool2d_cpu(CpuStream&, ConstView x, PoolGeometry geometry, View y, View index) {
  const Images in(x, y), out(y, x);
  const Window window(in, out, geometry);
  dispatch(FullFloats{}, x.dtype, "max_pool2d", [&]<class T>(Type<T>) {
    dispatch(TypeList<uint8_t, int32_t>{}, index.dtype, "max_pool2d", [&]<class I>(Type<I>) {
      for_each_image(in, [&](int64_t image) {
        const int64_t width = out.w * out.channels;
        BestRow<T> best(width);
        for (int64_t oy = 0; oy < out.h; ++oy) {
          max_row(window, x.as<T>() + image * in.size(), in.w, in.channels, oy, best);
          const int64_t at = image * out.size() + oy * width;
          std::copy(best.values.begin(), best.values.end(), y.as<T>() + at);
          vectorised([taps = best.taps.data(), to = index.as<I>() + at, width] {
            for (int64_t j = 0; j < width; ++j) to[j] = I(taps[j]);
          });
        }
      });
    });
  });
}

void max_pool2d_backward_cpu(CpuStream&, ConstView dy, ConstView index, PoolGeometry geometry, View dx) {
  const Images in(dx, dy), out(dy, dx);
  const Window window(in, out, geometry);
  std::vector<int64_t> offsets;  // of each tap from tap 0, in elements of an image
  for (int64_t ky = 0; ky < window.rows.taps; ++ky) {
    for (int64_t kx = 0; kx < window.columns.taps; ++kx) {
      offsets.push_back((ky * window.rows.dilation * in.w + kx * window.columns.dilation) * in.channels);
    }
  }
  dispatch(FullFloats{}, dx.dtype, "max_pool2d_backward", [&]<class T>(Type<T>) {
    dispatch(TypeList<uint8_t, int32_t>{}, index.dtype, "max_pool2d_backward", [&]<class I>(Type<I>) {
      for_each_image(in, [&](int64_t image) {
        T* const to = dx.as<T>() + image * in.size();
        std::fill_n(to, in.size(), T(0));
        const T* gradient = dy.as<T>() + image * out.size();
        const I* tap = index.as<I>() + image * out.size();
        for (int64_t oy = 0; oy < out.h; ++oy) {
          for (int64_t ox = 0; ox < out.w; ++ox) {
            const int64_t base = (window.rows.at(oy, 0) * in.w + window.columns.at(ox, 0)) * in.channels;
            for (int64_t c = 0; c < in.channels; ++c) to[base + c + offsets[*tap++]] += *gradient++;
          }
        }
      });
    });
  });
}

// Which inputs an output averages along one axis, and by what share of the divisor.
struct Span {
  int64_t begin, end;  // inputs
  int64_t divisor;
};

Span span_of(const Axis& axis, int64_t i, bool count_padding) {
  const int64_t begin = axis.at(i, 0), end = std::min(begin + axis.taps, axis.input + axis.padding);
  const int64_t inside_begin = std::max<int64_t>(begin, 0), inside_end = std::min(end, axis.input);
  return {inside_begin, inside_end, count_padding ? end - begin : inside_end - inside_begin};
}

std::vector<Span> average_spans(const Axis& axis, bool count_padding) {
  std::vector<Span> spans;
  for (int64_t i = 0; i < axis.output; ++i) spans.push_back(span_of(axis, i, count_padding));
  return spans;
}

std::vector<Span> adaptive_spans(int64_t input, int64_t output) {
  std::vector<Span> spans;
  for (int64_t i = 0; i < output; ++i) {
    const int64_t begin = i * input / output, end = ((i + 1) * input + output - 1) / output;
    spans.push_back({begin, end, end - begin});
  }
  return spans;
}

// y[oy, ox] = sum of x over rows[oy] x columns[ox], divided.
template <class T>
void average(const ConstView& x, const std::vector<Span>& rows, const std::vector<Span>& columns, const View& y) {
  const Images in(x, y), out(y, x);
  for_each_image(in, [&](int64_t image) {
    const T* const from = x.as<T>() + image * in.size();
    T* to = y.as<T>() + image * out.size();
    for (const Span& row : rows) {
      for (const Span& column : columns) {
        vectorised([=, channels = in.channels, width = in.w] {
          const T scale = T(1) / T(row.divisor * column.divisor);
          for (int64_t c = 0; c < channels; ++c) to[c] = T(0);
          for (int64_t iy = row.begin; iy < row.end; ++iy) {
            for (int64_t ix = column.begin; ix < column.end; ++ix) {
#pragma GCC ivdep
              for (int64_t c = 0; c < channels; ++c) to[c] += from[(iy * width + ix) * channels + c];
            }
          }
          for (int64_t c = 0; c < channels; ++c) to[c] *= scale;
        });
        to += in.channels;
      }
    }
  });
}

template <class T>
void spread(const ConstView& dy, const std::vector<Span>& rows, const std::vector<Span>& columns, const View& dx) {
  const Images in(dx, dy), out(dy, dx);
  for_each_image(in, [&](int64_t image) {
    const T* from = dy.as<T>() + image * out.size();
    T* const to = dx.as<T>() + image * in.size();
    std::fill_n(to, in.size(), T(0));
    for (const Span& row : rows) {
      for (const Span& column : columns) {
        vectorised([=, channels = in.channels, width = in.w] {
          const T scale = T(1) / T(row.divisor * column.divisor);
          for (int64_t iy = row.begin; iy < row.end; ++iy) {
            for (int64_t ix = column.begin; ix < column.end; ++ix) {
#pragma GCC ivdep
              for (int64_t c = 0; c < channels; ++c) to[(iy * width + ix) * channels + c] += from[c] * scale;
            }
          }
        });
        from += in.channels;
      }
    }
  });
}

void avg_pool2d_cpu(CpuStream&, ConstView x, PoolGeometry geometry, View y) {
  const Window window(Images(x, y), Images(y, x), geometry);
  dispatch(FullFloats{}, x.dtype, "avg_pool2d", [&]<class T>(Type<T>) {
    average<T>(x, average_spans(window.rows, geometry.count_padding),
               average_spans(window.columns, geometry.count_padding), y);
  });
}

void avg_pool2d_backward_cpu(CpuStream&, ConstView dy, PoolGeometry geometry, View dx) {
  const Window window(Images(dx, dy), Images(dy, dx), geometry);
  dispatch(FullFloats{}, dx.dtype, "avg_pool2d_backward", [&]<class T>(Type<T>) {
    spread<T>(dy, average_spans(window.rows, geometry.count_padding),
              average_spans(window.columns, geometry.count_padding), dx);
  });
}

void adaptive_avg_pool2d_cpu(CpuStream&, ConstView x, View y) {
  dispatch(FullFloats{}, x.dtype, "adaptive_avg_pool2d", [&]<class T>(Type<T>) {
    average<T>(x, adaptive_spans(x.size(2), y.size(2)), adaptive_spans(x.size(3), y.size(3)), y);
  });
}

void adaptive_avg_pool2d_backward_cpu(CpuStream&, ConstView dy, View dx) {
  dispatch(FullFloats{}, dx.dtype, "adaptive_avg_pool2d_backward", [&]<class T>(Type<T>) {
    spread<T>(dy, adaptive_spans(dx.size(2), dy.size(2)), adaptive_spans(dx.size(3), dy.size(3)), dx);
  });
}

}  // namespace

Kernel<ConstView, PoolGeometry, View, View> max_pool2d{"max_pool2d", max_pool2d_cpu};
Kernel<ConstView, ConstView, PoolGeometry, View> max_pool2d_backward{"max_pool2d_backward", max_pool2d_backward_cpu};
Kernel<ConstView, PoolGeometry, View> avg_pool2d{"avg_pool2d", avg_pool2d_cpu};
Kernel<ConstView, PoolGeometry, View> avg_pool2d_backward{"avg_pool2d_backward", avg_pool2d_backward_cpu};
Kernel<ConstView, View> adaptive_avg_pool2d{"adaptive_avg_pool2d", adaptive_avg_pool2d_cpu};
Kernel<ConstView, View> adaptive_avg_pool2d_backward{"adaptive_avg_pool2d_backward", adaptive_avg_pool2d_backward_cpu};

}  // namespace rstorch::kernels
