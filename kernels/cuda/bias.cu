#include "kernels/cuda/bias.h"
#include "kernels/cuda/map.cuh"
#include "kernels/cuda/reduce.cuh"

namespace rstorch::kernels {
namespace {

struct Plus {
  template <class T>
  __device__ T operator()(T y, T bias) const {
    return y + bias;
  }
};
template <class F>
struct PlusThen {
  template <class T>
  __device__ T operator()(T y, T bias) const {
    return F::value(y + bias);
  }
};

// A column of dy, each element passed through the activation F and written on the way.
template <class T, class F>
struct Column {
  const T* dy;
  const T* kept;  // null: no activation
  T* dz;
  uint32_t columns;

  __device__ uint32_t of(uint32_t column) const { return column; }
  template <class Op>
  __device__ void add(const Op& op, typename Op::State& state, uint32_t column, uint32_t row) const {
    const size_t at = size_t(row) * columns + column;
    using C = Compute<T>;
    C slope = convert<C>(dy[at]);
    if (kept) {
      slope *= F::slope(convert<C>(kept[at]));
      dz[at] = convert<T>(slope);
    }
    op.add(state, slope, row);
  }
};

// Of elements T, as Y.
template <class T, class Y>
struct Total {
  struct State {
    Compute<T> total;
  };
  Y* y;

  __device__ State empty() const { return {0}; }
  __device__ void add(State& state, Compute<T> x, uint32_t) const { state.total += x; }
  __device__ void merge(State& state, const State& later) const { state.total += later.total; }
  __device__ void store(uint32_t column, const State& state) const {
    if (y) y[column] = convert<Y>(state.total);
  }
};

}  // namespace

void add_bias(CudaStream& stream, ConstView bias, Activation activation, View y) {
  if (!bias.defined() && activation == Activation::none) return;
  Operand added(0);
  if (bias.defined()) {
    bias.shape = y.shape;
    bias.strides = {0, 1};
    added = bias;
  }
  dispatch(Floats{}, y.dtype, "bias", [&]<class T>(Type<T>) {
    switch (activation) {
      case Activation::none:
        return map<T, T, T>(stream, "bias", Plus{}, y, {y, added});
      case Activation::relu:
        return map<T, T, T>(stream, "bias", PlusThen<Relu>{}, y, {y, added});
      case Activation::gelu_tanh:
        return map<T, T, T>(stream, "bias", PlusThen<GeluTanh>{}, y, {y, added});
    }
  });
}

void activation_backward(CudaStream& stream, ConstView dy, ConstView kept, Activation activation, View dz, View dbias) {
  const int64_t rows = dy.size(0), columns = dy.size(1);
  if (columns == 0) return;
  if (rows > INT32_MAX || columns > INT32_MAX) {
    throw ShapeError(format("bias gradient: {} is too large for cuda", dy.shape.text()));
  }
  const bool masked = activation != Activation::none;
  const auto tiles = reduction::make_tiles(uint32_t(columns), uint32_t(rows), false);
  dispatch(Floats{}, dy.dtype, "bias_backward", [&]<class T>(Type<T>) {
    const auto sum = [&]<class F>(F) {
      const Column<T, F> source{dy.as<T>(), masked ? kept.as<T>() : nullptr, dz.as<T>(), uint32_t(columns)};
      if (dbias.defined() && dbias.dtype == DType::f32) {
        reduction::reduce_source(stream, "bias_backward", Total<T, float>{dbias.as<float>()}, source, tiles);
      } else {
        reduction::reduce_source(stream, "bias_backward", Total<T, T>{dbias.as<T>()}, source, tiles);
      }
    };
    activation == Activation::gelu_tanh ? sum(GeluTanh{}) : sum(Relu{});
  });
}

}  // namespace rstorch::kernels
