#include "kernels/softmax.h"

#include <cmath>
#include <limits>

#include "kernels/cpu/lanes.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/scratch.h"
#include "kernels/cpu/simd.h"
#include "kernels/math.h"

namespace rstorch::kernels {
namespace {

// One row of `size` neighbours. Each Row has forward(x, y, size) or backward(dy, y, dx, size).
template <class T>
inline __attribute__((always_inline)) T largest(const T* x, int64_t size) {
  return fold<T>(
      size, -std::numeric_limits<T>::infinity(), [=](int64_t i) { return x[i]; },
      [](T a, T b) { return b > a || b != b ? b : a; });
}

struct Softmax {
  template <class T>
  static void forward(const T* x, T* y, int64_t size) {
    vectorised([=] {
      const T top = largest(x, size);
      const T sum = sum_lanes<T>(size, [=](int64_t i) { return y[i] = math::exp(x[i] - top); });
      const T scale = T(1) / sum;
      for (int64_t i = 0; i < size; ++i) y[i] *= scale;
    });
  }
  template <class T>
  static void backward(const T* dy, const T* y, T* dx, int64_t size) {
    vectorised([=] {
      const T dot = sum_lanes<T>(size, [=](int64_t i) { return dy[i] * y[i]; });
      for (int64_t i = 0; i < size; ++i) dx[i] = y[i] * (dy[i] - dot);
    });
  }
};

struct LogSoftmax {
  template <class T>
  static void forward(const T* x, T* y, int64_t size) {
    vectorised([=] {
      const T top = largest(x, size);
      const T sum = sum_lanes<T>(size, [=](int64_t i) { return math::exp(x[i] - top); });
      const T log_sum = std::log(sum);
      for (int64_t i = 0; i < size; ++i) y[i] = (x[i] - top) - log_sum;
    });
  }
  template <class T>
  static void backward(const T* dy, const T* y, T* dx, int64_t size) {
    vectorised([=] {
      const T sum = sum_lanes<T>(size, [=](int64_t i) { return dy[i]; });
      for (int64_t i = 0; i < size; ++i) dx[i] = dy[i] - math::exp(y[i]) * sum;
    });
  }
};

// Calls row(pointers..., size) for each row of [outer, size, inner]. Where rows are not contiguous they are gathered
// into scratch and the last pointer's row is scattered back.
template <class T, class Row, class... In>
void for_each_row(CpuStream& stream, const View& out, Row row, const In*... in) {
  const int64_t size = out.size(1), inner = out.size(2), rows = out.size(0) * inner;
  if (rows == 0 || size == 0) return;
  T* const y = out.as<T>();
  const int64_t grain = std::max<int64_t>(kGrain / 8 / size, 1);
  if (inner == 1) {
    return parallel_for(rows, grain, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) row((in + r * size)..., y + r * size, size);
    });
  }
  parallel_for(rows, grain, [&](int64_t begin, int64_t end) {
    const Scratch<T> scratch(stream, int64_t(sizeof...(In) + 1) * size);
    for (int64_t r = begin; r < end; ++r) {
      const int64_t first = r / inner * size * inner + r % inner;
      T* next = scratch.data();
      const auto gather = [&](const T* from) {
        for (int64_t i = 0; i < size; ++i) next[i] = from[first + i * inner];
        next += size;
        return next - size;
      };
      const T* const gathered[] = {gather(in)...};
      if constexpr (sizeof...(In) == 1)
        row(gathered[0], next, size);
      else
        row(gathered[0], gathered[1], next, size);
      for (int64_t i = 0; i < size; ++i) y[first + i * inner] = next[i];
    }
  });
}

template <class Kind>
void forward_cpu(CpuStream& stream, ConstView x, View y) {
  dispatch(FullFloats{}, x.dtype, "softmax", [&]<class T>(Type<T>) {
    for_each_row<T>(
        stream, y, [](const T* in, T* out, int64_t size) { Kind::forward(in, out, size); }, x.as<T>());
  });
}

template <class Kind>
void backward_cpu(CpuStream& stream, ConstView dy, ConstView y, View dx) {
  dispatch(FullFloats{}, y.dtype, "softmax_backward", [&]<class T>(Type<T>) {
    for_each_row<T>(
        stream, dx, [](const T* dy, const T* y, T* dx, int64_t size) { Kind::backward(dy, y, dx, size); }, dy.as<T>(),
        y.as<T>());
  });
}

}  // namespace

Kernel<ConstView, View> softmax{"softmax", forward_cpu<Softmax>};
Kernel<ConstView, ConstView, View> softmax_backward{"softmax_backward", backward_cpu<Softmax>};
Kernel<ConstView, View> log_softmax{"log_softmax", forward_cpu<LogSoftmax>};
Kernel<ConstView, ConstView, View> log_softmax_backward{"log_softmax_backward", backward_cpu<LogSoftmax>};

}  // namespace rstorch::kernels
