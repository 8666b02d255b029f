#include <limits>

#include "kernels/cuda/group.cuh"
#include "kernels/cuda/install.h"
#include "kernels/element.h"
#include "kernels/math.h"
#include "kernels/softmax.h"

namespace rstorch::kernels {
namespace {

// The rows of [outer, size, inner]: element i of row r is at first(r) + i * inner.
struct Rows {
  int64_t count, size, inner;

  explicit Rows(const View& view) : count(view.size(0) * view.size(2)), size(view.size(1)), inner(view.size(2)) {}
  __device__ int64_t first(int64_t row) const { return row / inner * size * inner + row % inner; }
};

// A group's row. Every lane goes over the elements lane, lane + Lanes, ...
template <unsigned Lanes>
struct Row {
  Group<Lanes> group;
  int64_t begin, end, step;  // none for a group without a row

  __device__ explicit Row(const Rows& rows) {
    const int64_t row = group.row(), first = row < rows.count ? rows.first(row) : 0;
    begin = first + group.lane() * rows.inner;
    end = row < rows.count ? first + rows.size * rows.inner : 0;
    step = Lanes * rows.inner;
  }
  template <class F>
  __device__ void each(const F& f) const {
    for (int64_t i = begin; i < end; i += step) f(i);
  }
};

template <class T>
__device__ T least() {
  return -std::numeric_limits<T>::infinity();
}

// The largest element and the sum of exp(x - largest), in one pass over x (Milakov & Gimelshein 2018).
template <unsigned Lanes, class T>
__device__ void log_sum_parts(const Row<Lanes>& row, const T* x, Compute<T>& top, Compute<T>& sum) {
  using C = Compute<T>;
  C mine = least<C>(), total = 0;
  row.each([&](int64_t i) {
    const C value = convert<C>(x[i]), larger = math::maximum(value, mine);
    if (larger == least<C>()) return;  // nothing but -inf so far
    total = total * math::exp(mine - larger) + math::exp(value - larger);
    mine = larger;
  });
  top = row.group.merge(mine, [](C a, C b) { return math::maximum(a, b); });
  sum = row.group.sum(mine == least<C>() ? C(0) : total * math::exp(mine - top));
}

struct Softmax {
  template <unsigned Lanes, class T>
  __device__ static void forward(const Row<Lanes>& row, const T* x, T* y) {
    using C = Compute<T>;
    C top, sum;
    log_sum_parts(row, x, top, sum);
    const C scale = C(1) / sum;
    row.each([&](int64_t i) { y[i] = convert<T>(math::exp(convert<C>(x[i]) - top) * scale); });
  }
  template <unsigned Lanes, class T>
  __device__ static void backward(const Row<Lanes>& row, const T* dy, const T* y, T* dx) {
    using C = Compute<T>;
    C dot = 0;
    row.each([&](int64_t i) { dot += convert<C>(dy[i]) * convert<C>(y[i]); });
    dot = row.group.sum(dot);
    row.each([&](int64_t i) { dx[i] = convert<T>(convert<C>(y[i]) * (convert<C>(dy[i]) - dot)); });
  }
};

struct LogSoftmax {
  template <unsigned Lanes, class T>
  __device__ static void forward(const Row<Lanes>& row, const T* x, T* y) {
    using C = Compute<T>;
    C top, sum;
    log_sum_parts(row, x, top, sum);
    const C log_sum = math::log(sum);
    row.each([&](int64_t i) { y[i] = convert<T>((convert<C>(x[i]) - top) - log_sum); });
  }
  template <unsigned Lanes, class T>
  __device__ static void backward(const Row<Lanes>& row, const T* dy, const T* y, T* dx) {
    using C = Compute<T>;
    C sum = 0;
    row.each([&](int64_t i) { sum += convert<C>(dy[i]); });
    sum = row.group.sum(sum);
    row.each([&](int64_t i) { dx[i] = convert<T>(convert<C>(dy[i]) - math::exp(convert<C>(y[i])) * sum); });
  }
};

template <class Kind, unsigned Lanes, class T>
__global__ void forward(Rows rows, const T* x, T* y) {
  Kind::forward(Row<Lanes>(rows), x, y);
}
template <class Kind, unsigned Lanes, class T>
__global__ void backward(Rows rows, const T* dy, const T* y, T* dx) {
  Kind::backward(Row<Lanes>(rows), dy, y, dx);
}

// Neighbouring threads take neighbours in memory: elements of a row, or rows side by side.
template <class F>
void with_lanes(const Rows& rows, const F& f) {
  if (rows.inner > 1) return f.template operator()<1>();
  with_group(rows.size, f);
}

template <class Kind>
void forward_cuda(CudaStream& stream, ConstView x, View y) {
  const Rows rows(y);
  dispatch(Floats{}, x.dtype, "softmax", [&]<class T>(Type<T>) {
    with_lanes(rows, [&]<unsigned Lanes>() {
      launch_blocks(stream, "softmax", blocks_of_rows<Lanes>("softmax", rows.count), forward<Kind, Lanes, T>, rows,
                    x.as<T>(), y.as<T>());
    });
  });
}

template <class Kind>
void backward_cuda(CudaStream& stream, ConstView dy, ConstView y, View dx) {
  const Rows rows(dx);
  dispatch(Floats{}, y.dtype, "softmax_backward", [&]<class T>(Type<T>) {
    with_lanes(rows, [&]<unsigned Lanes>() {
      launch_blocks(stream, "softmax_backward", blocks_of_rows<Lanes>("softmax_backward", rows.count),
                    backward<Kind, Lanes, T>, rows, dy.as<T>(), y.as<T>(), dx.as<T>());
    });
  });
}

}  // namespace

void install_softmax() {
  softmax.cuda = forward_cuda<Softmax>;
  softmax_backward.cuda = backward_cuda<Softmax>;
  log_softmax.cuda = forward_cuda<LogSoftmax>;
  log_softmax_backward.cuda = backward_cuda<LogSoftmax>;
}

}  // namespace rstorch::kernels
