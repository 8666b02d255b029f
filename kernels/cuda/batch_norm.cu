#include "kernels/cuda/channels.cuh"
#include "kernels/cuda/install.h"
#include "kernels/cuda/reduce.cuh"
#include "kernels/math.h"
#include "kernels/norm.h"

namespace rstorch::kernels {
namespace {

// What is one number to a channel of an x of this shape, as an operand beside x; and the shape of such numbers.
ConstView per_channel(ConstView numbers, const Shape& shape) {
  numbers.shape = shape;
  numbers.strides = Shape::filled(shape.dims(), 0);
  numbers.strides[1] = 1;
  return numbers;
}
Shape channels_of(const Shape& shape) {
  Shape out = Shape::filled(shape.dims(), 1);
  out[1] = shape[1];
  return out;
}

// Sums of distances from one of the channel's elements, so that a large common offset does not swallow the variance.
template <class T>
struct Moments {
  struct State {
    double count, shift, sum, squares;
  };
  double *row, *means, *squares;

  __device__ State empty() const { return {0, 0, 0, 0}; }
  __device__ void add(State& state, T x, uint32_t) const {
    const double value = convert<double>(x);
    if (state.count == 0) state.shift = value;
    const double distance = value - state.shift;
    state.count += 1;
    state.sum += distance;
    state.squares += distance * distance;
  }
  __device__ void merge(State& state, const State& later) const {
    if (later.count == 0) return;
    if (state.count == 0) return void(state = later);
    const double off = later.shift - state.shift;
    state.squares += later.squares + off * (2 * later.sum + later.count * off);
    state.sum += later.sum + later.count * off;
    state.count += later.count;
  }
  __device__ void store(uint32_t k, const State& state) const {
    const double distance = state.sum / (state.count > 0 ? state.count : 1);
    means[k] = state.shift + distance;
    squares[k] = math::maximum(state.squares - distance * state.sum, 0.0);
    if (k == 0) *row = state.count;
  }
};

void batch_norm_moments_cuda(CudaStream& stream, ConstView x, View moments) {
  double* const row = moments.as<double>();
  dispatch(Floats{}, x.dtype, "batch_norm_moments", [&]<class T>(Type<T>) {
    reduce<T>(stream, "batch_norm_moments", Moments<T>{row, row + 1, row + 1 + x.size(1)}, {x}, channels_of(x.shape));
  });
}

// One thread to a channel. The rows are joined in their order (Chan, Golub & LeVeque 1979).
template <class C>
__global__ void statistics(const double* row, int64_t batches, int64_t channels, double eps, double momentum, C* mean,
                           C* invstd, C* running_mean, C* running_var) {
  const int64_t c = blockIdx.x * blockDim.x + threadIdx.x;
  if (c >= channels) return;
  double count = 0, average = 0, squares = 0;
  for (int64_t i = 0; i < batches; ++i, row += 1 + 2 * channels) {
    if (row[0] == 0) continue;
    const double distance = row[1 + c] - average, share = row[0] / (count + row[0]);
    average += distance * share;
    squares += row[1 + channels + c] + distance * (share * count) * distance;
    count += row[0];
  }
  mean[c] = C(average);
  invstd[c] = C(1 / math::sqrt(squares / (count > 1 ? count : 1) + eps));
  if (!running_mean || count == 0) return;
  running_mean[c] = C((1 - momentum) * double(running_mean[c]) + momentum * average);
  running_var[c] = C((1 - momentum) * double(running_var[c]) + momentum * squares / (count - 1));
}

void batch_norm_statistics_cuda(CudaStream& stream, ConstView moments, double eps, double momentum, View mean,
                                View invstd, View running_mean, View running_var) {
  dispatch(FullFloats{}, mean.dtype, "batch_norm_statistics", [&]<class C>(Type<C>) {
    launch(stream, "batch_norm_statistics", uint32_t(mean.numel()), statistics<C>, moments.as<double>(),
           moments.size(0), mean.numel(), eps, momentum, mean.as<C>(), invstd.as<C>(), running_mean.as<C>(),
           running_var.as<C>());
  });
}

template <class C>
__global__ void inverse_deviation(const C* var, int64_t channels, double eps, C* invstd) {
  const int64_t c = blockIdx.x * blockDim.x + threadIdx.x;
  if (c < channels) invstd[c] = C(1 / math::sqrt(double(var[c]) + eps));
}

void batch_norm_invstd_cuda(CudaStream& stream, ConstView var, double eps, View invstd) {
  dispatch(FullFloats{}, var.dtype, "batch_norm_invstd", [&]<class C>(Type<C>) {
    launch(stream, "batch_norm_invstd", uint32_t(var.numel()), inverse_deviation<C>, var.as<C>(), var.numel(), eps,
           invstd.as<C>());
  });
}

template <class C>
struct Normalise {
  struct Factors {
    C mean, scale, shift;
  };
  const C *mean, *invstd, *weight, *bias;  // the last two may be null

  __device__ Factors of(uint32_t c) const {
    return {mean[c], weight ? invstd[c] * weight[c] : invstd[c], bias ? bias[c] : C(0)};
  }
  __device__ C operator()(const Factors& by, C x) const { return (x - by.mean) * by.scale + by.shift; }
};

void batch_norm_cuda(CudaStream& stream, ConstView x, ConstView mean, ConstView invstd, ConstView weight,
                     ConstView bias, View y) {
  dispatch(Floats{}, x.dtype, "batch_norm", [&]<class T>(Type<T>) {
    using C = Compute<T>;
    const Normalise<C> f{mean.as<C>(), invstd.as<C>(), weight.as<C>(), bias.as<C>()};
    map_channels(stream, "batch_norm", f, Channels(x), y.as<T>(), x.as<T>());
  });
}

template <class T>
struct GradientSums {
  using C = Compute<T>;
  struct State {
    double dy, dy_x;
  };
  double *row, *sums, *products;
  double count;
  const C* invstd;
  C *dweight, *dbias;  // may be null

  __device__ State empty() const { return {0, 0}; }
  __device__ void add(State& state, T dy, T x, C mean, uint32_t) const {
    const double g = convert<double>(dy);
    state.dy += g;
    state.dy_x += g * (convert<double>(x) - double(mean));
  }
  __device__ void merge(State& state, const State& later) const {
    state.dy += later.dy;
    state.dy_x += later.dy_x;
  }
  __device__ void store(uint32_t k, const State& state) const {
    sums[k] = state.dy;
    products[k] = state.dy_x;
    if (dbias) dbias[k] = C(state.dy);
    if (dweight) dweight[k] = C(state.dy_x * double(invstd[k]));
    if (k == 0) *row = count;
  }
};

void batch_norm_sums_cuda(CudaStream& stream, ConstView dy, ConstView x, ConstView mean, ConstView invstd, View sums,
                          View dweight, View dbias) {
  const int64_t channels = x.size(1);
  double* const row = sums.as<double>();
  const double count = channels > 0 ? double(x.numel() / channels) : 0;
  dispatch(Floats{}, x.dtype, "batch_norm_sums", [&]<class T>(Type<T>) {
    using C = Compute<T>;
    const GradientSums<T> op{row, row + 1, row + 1 + channels, count, invstd.as<C>(), dweight.as<C>(), dbias.as<C>()};
    reduce<T, T, C>(stream, "batch_norm_sums", op, {dy, x, per_channel(mean, x.shape)}, channels_of(x.shape));
  });
}

// dx = scale (dy - offset - (x - mean) slope); with fixed statistics, without sums, only the first term.
template <class C>
struct InputGradient {
  struct Factors {
    C mean, scale, offset, slope;
  };
  const Factors* factors;

  __device__ Factors of(uint32_t c) const { return factors[c]; }
  __device__ C operator()(const Factors& by, C dy, C x) const {
    return by.scale * (dy - by.offset - (x - by.mean) * by.slope);
  }
};

template <class C>
__global__ void gradient_factors(const C* mean, const C* invstd, const C* weight, const double* sums, int64_t channels,
                                 typename InputGradient<C>::Factors* out) {
  const int64_t c = blockIdx.x * blockDim.x + threadIdx.x;
  if (c >= channels) return;
  const double inverse = double(invstd[c]), through = sums ? 1 / sums[0] : 0;
  out[c] = {mean[c], C(inverse * (weight ? double(weight[c]) : 1)), C(sums ? sums[1 + c] * through : 0),
            C(sums ? sums[1 + channels + c] * inverse * inverse * through : 0)};
}

void batch_norm_input_gradient_cuda(CudaStream& stream, ConstView dy, ConstView x, ConstView mean, ConstView invstd,
                                    ConstView weight, ConstView sums, View dx) {
  const int64_t channels = x.size(1);
  dispatch(Floats{}, x.dtype, "batch_norm_input_gradient", [&]<class T>(Type<T>) {
    using C = Compute<T>;
    using Factors = typename InputGradient<C>::Factors;
    auto* const factors = static_cast<Factors*>(stream.workspace(size_t(channels) * sizeof(Factors)));
    launch(stream, "batch_norm_input_gradient", uint32_t(channels), gradient_factors<C>, mean.as<C>(), invstd.as<C>(),
           weight.as<C>(), sums.as<double>(), channels, factors);
    map_channels(stream, "batch_norm_input_gradient", InputGradient<C>{factors}, Channels(x), dx.as<T>(), dy.as<T>(),
                 x.as<T>());
  });
}

}  // namespace

void install_batch_norm() {
  batch_norm_moments.cuda = batch_norm_moments_cuda;
  batch_norm_statistics.cuda = batch_norm_statistics_cuda;
  batch_norm_invstd.cuda = batch_norm_invstd_cuda;
  batch_norm.cuda = batch_norm_cuda;
  batch_norm_sums.cuda = batch_norm_sums_cuda;
  batch_norm_input_gradient.cuda = batch_norm_input_gradient_cuda;
}

}  // namespace rstorch::kernels
