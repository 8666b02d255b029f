// sum, mean, var, prod
#include "kernels/cuda/install.h"
#include "kernels/cuda/reduce.cuh"
#include "kernels/reduce.h"

namespace rstorch::kernels {
namespace {

// What sums and products that go into a Y are accumulated in. Double costs floats nothing: memory is the limit.
template <class Y>
using Wide = std::conditional_t<std::is_same_v<Y, int64_t>, int64_t, double>;

// y = sum x / divisor
template <class X, class Y>
struct Sum {
  struct State {
    Wide<Y> total;
  };
  Y* y;
  Wide<Y> divisor;

  __device__ State empty() const { return {0}; }
  __device__ void add(State& state, X x, uint32_t) const { state.total += convert<Wide<Y>>(x); }
  __device__ void merge(State& state, const State& later) const { state.total += later.total; }
  __device__ void store(uint32_t k, const State& state) const { y[k] = convert<Y>(state.total / divisor); }
};

template <class X, class Y>
struct Product {
  struct State {
    Wide<Y> total;
  };
  Y* y;

  __device__ State empty() const { return {1}; }
  __device__ void add(State& state, X x, uint32_t) const { state.total *= convert<Wide<Y>>(x); }
  __device__ void merge(State& state, const State& later) const { state.total *= later.total; }
  __device__ void store(uint32_t k, const State& state) const { y[k] = convert<Y>(state.total); }
};

// Chan, Golub & LeVeque 1979: count, mean and squared distances of two sets give those of both.
template <class T>
struct Variance {
  struct State {
    double count, mean, squares;
  };
  T* y;
  double correction;

  __device__ State empty() const { return {0, 0, 0}; }
  __device__ void add(State& state, T x, uint32_t) const {
    state.count += 1;
    const double distance = convert<double>(x) - state.mean;
    state.mean += distance / state.count;
    state.squares += distance * (convert<double>(x) - state.mean);
  }
  __device__ void merge(State& state, const State& later) const {
    const double count = state.count + later.count;
    if (later.count == 0) return;
    const double distance = later.mean - state.mean;
    state.mean += distance * (later.count / count);
    state.squares += later.squares + distance * distance * (state.count * later.count / count);
    state.count = count;
  }
  __device__ void store(uint32_t k, const State& state) const {
    const double divisor = state.count - correction;
    y[k] = convert<T>(state.squares / (divisor > 0 ? divisor : 0));
  }
};

// Calls f.operator()<X, Y>(): floating x and y of one dtype, or y i64 and x integer or bool.
template <class F>
void for_types(std::string_view name, const ConstView& x, const View& y, const F& f) {
  if (y.dtype == DType::i64) {
    using Whole = TypeList<int64_t, int32_t, uint8_t, bool>;
    return dispatch(Whole{}, x.dtype, name, [&]<class X>(Type<X>) { f.template operator()<X, int64_t>(); });
  }
  dispatch(Floats{}, x.dtype, name, [&]<class X>(Type<X>) { f.template operator()<X, X>(); });
}

void sum_cuda(CudaStream& stream, ConstView x, View y) {
  for_types("sum", x, y, [&]<class X, class Y>() { reduce<X>(stream, "sum", Sum<X, Y>{y.as<Y>(), 1}, {x}, y.shape); });
}

void prod_cuda(CudaStream& stream, ConstView x, View y) {
  for_types("prod", x, y,
            [&]<class X, class Y>() { reduce<X>(stream, "prod", Product<X, Y>{y.as<Y>()}, {x}, y.shape); });
}

void mean_cuda(CudaStream& stream, ConstView x, View y) {
  if (y.numel() == 0) return;
  dispatch(Floats{}, y.dtype, "mean", [&]<class T>(Type<T>) {
    const double count = double(x.numel()) / double(y.numel());
    reduce<T>(stream, "mean", Sum<T, T>{y.as<T>(), count}, {x}, y.shape);
  });
}

void var_cuda(CudaStream& stream, ConstView x, int64_t correction, View y) {
  dispatch(Floats{}, y.dtype, "var", [&]<class T>(Type<T>) {
    reduce<T>(stream, "var", Variance<T>{y.as<T>(), double(correction)}, {x}, y.shape);
  });
}

}  // namespace

void install_sum() {
  sum.cuda = sum_cuda;
  prod.cuda = prod_cuda;
  mean.cuda = mean_cuda;
  var.cuda = var_cuda;
}

}  // namespace rstorch::kernels
