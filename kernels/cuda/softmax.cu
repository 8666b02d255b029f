#include "kernels/cuda/install.h"
#include "kernels/cuda/rows.cuh"
#include "kernels/softmax.h"

namespace rstorch::kernels {
namespace {

// Of a row of x; every lane gets it.
template <unsigned Lanes, class T>
__device__ LogSum<Compute<T>> log_sum(const Row<Lanes>& row, const T* x) {
  LogSum<Compute<T>> sum;
  row.each([&](int64_t i) { sum.add(convert<Compute<T>>(x[i])); });
  sum.merge(row.group);
  return sum;
}

struct Softmax {
  template <unsigned Lanes, class T>
  __device__ static void forward(const Row<Lanes>& row, const T* x, T* y) {
    using C = Compute<T>;
    const LogSum<C> sum = log_sum(row, x);
    const C scale = C(1) / sum.total;
    row.each([&](int64_t i) { y[i] = convert<T>(math::exp(convert<C>(x[i]) - sum.top) * scale); });
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
    const LogSum<C> sum = log_sum(row, x);
    const C log_total = math::log(sum.total);
    row.each([&](int64_t i) { y[i] = convert<T>((convert<C>(x[i]) - sum.top) - log_total); });
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
