#include "kernels/cuda/install.h"
#include "kernels/cuda/reduce.cuh"
#include "kernels/cuda/rows.cuh"
#include "kernels/norm.h"

namespace rstorch::kernels {
namespace {

// Goes over the row three times; after the first it is in the cache.
template <unsigned Lanes, class T, class C>
__global__ void normalise_rows(Rows rows, const T* x, const C* weight, const C* bias, C eps, T* y, C* means,
                               C* invstds) {
  const Row<Lanes> row(rows);
  C sum = 0, squares = 0;
  row.each([&](int64_t i) { sum += convert<C>(x[i]); });
  const C mean = row.group.sum(sum) / C(rows.size);
  row.each([&](int64_t i) { squares += (convert<C>(x[i]) - mean) * (convert<C>(x[i]) - mean); });
  const C invstd = C(1) / math::sqrt(row.group.sum(squares) / C(rows.size) + eps);
  row.each_numbered([&](int64_t i, int64_t c) {
    const C h = (convert<C>(x[i]) - mean) * invstd;
    y[i] = convert<T>((weight ? h * weight[c] : h) + (bias ? bias[c] : C(0)));
  });
  if (row.group.lane() != 0 || row.group.row() >= rows.count) return;
  means[row.group.row()] = mean;
  invstds[row.group.row()] = invstd;
}

void layer_norm_cuda(CudaStream& stream, ConstView x, ConstView weight, ConstView bias, double eps, View y, View mean,
                     View invstd) {
  const Rows rows(x);
  dispatch(Floats{}, x.dtype, "layer_norm", [&]<class T>(Type<T>) {
    using C = Compute<T>;
    with_group(rows.size, [&]<unsigned Lanes>() {
      launch_blocks(stream, "layer_norm", blocks_of_rows<Lanes>("layer_norm", rows.count), normalise_rows<Lanes, T, C>,
                    rows, x.as<T>(), weight.as<C>(), bias.as<C>(), C(eps), y.as<T>(), mean.as<C>(), invstd.as<C>());
    });
  });
}

// With h = (x - mean) invstd and g = dy weight: dx = invstd (g - mean(g) - h mean(g h)).
template <unsigned Lanes, class T, class C>
__global__ void row_gradients(Rows rows, const T* dy, const T* x, const C* weight, const C* means, const C* invstds,
                              T* dx) {
  const Row<Lanes> row(rows);
  const int64_t at = row.group.row();
  const C mean = at < rows.count ? means[at] : C(0), invstd = at < rows.count ? invstds[at] : C(0);
  const auto h = [&](int64_t i) { return (convert<C>(x[i]) - mean) * invstd; };
  const auto g = [&](int64_t i, int64_t c) { return weight ? convert<C>(dy[i]) * weight[c] : convert<C>(dy[i]); };
  C sum_g = 0, sum_gh = 0;
  row.each_numbered([&](int64_t i, int64_t c) {
    sum_g += g(i, c);
    sum_gh += g(i, c) * h(i);
  });
  const C mean_g = row.group.sum(sum_g) / C(rows.size), mean_gh = row.group.sum(sum_gh) / C(rows.size);
  row.each_numbered([&](int64_t i, int64_t c) { dx[i] = convert<T>(invstd * (g(i, c) - mean_g - h(i) * mean_gh)); });
}

// Sums over rows: dweight of dy h, dbias of dy.
template <class T>
struct ColumnGradients {
  using C = Compute<T>;
  struct State {
    double weight, bias;
  };
  C *dweight, *dbias;  // may be null

  __device__ State empty() const { return {0, 0}; }
  __device__ void add(State& state, T dy, T x, C mean, C invstd, uint32_t) const {
    const C g = convert<C>(dy);
    state.weight += double(g * (convert<C>(x) - mean) * invstd);
    state.bias += double(g);
  }
  __device__ void merge(State& state, const State& later) const {
    state.weight += later.weight;
    state.bias += later.bias;
  }
  __device__ void store(uint32_t k, const State& state) const {
    if (dweight) dweight[k] = C(state.weight);
    if (dbias) dbias[k] = C(state.bias);
  }
};

// Numbers [rows] as an operand beside x [rows, columns].
ConstView per_row(ConstView numbers, const Shape& shape) {
  numbers.shape = shape;
  numbers.strides = {1, 0};
  return numbers;
}

void layer_norm_backward_cuda(CudaStream& stream, ConstView dy, ConstView x, ConstView weight, ConstView mean,
                              ConstView invstd, View dx, View dweight, View dbias) {
  constexpr std::string_view name = "layer_norm_backward";
  const Rows rows(x);
  dispatch(Floats{}, x.dtype, name, [&]<class T>(Type<T>) {
    using C = Compute<T>;
    if (dx.defined()) {
      with_group(rows.size, [&]<unsigned Lanes>() {
        launch_blocks(stream, name, blocks_of_rows<Lanes>(name, rows.count), row_gradients<Lanes, T, C>, rows,
                      dy.as<T>(), x.as<T>(), weight.as<C>(), mean.as<C>(), invstd.as<C>(), dx.as<T>());
      });
    }
    if (!dweight.defined() && !dbias.defined()) return;
    reduce<T, T, C, C>(stream, name, ColumnGradients<T>{dweight.as<C>(), dbias.as<C>()},
                       {dy, x, per_row(mean, x.shape), per_row(invstd, x.shape)}, {1, x.size(1)});
  });
}

}  // namespace

void install_layer_norm() {
  layer_norm.cuda = layer_norm_cuda;
  layer_norm_backward.cuda = layer_norm_backward_cuda;
}

}  // namespace rstorch::kernels
