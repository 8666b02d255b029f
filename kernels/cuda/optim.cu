#include <algorithm>
#include <limits>

#include "kernels/cuda/group.cuh"
#include "kernels/cuda/install.h"
#include "kernels/cuda/pack.cuh"
#include "kernels/cuda/reduce.cuh"
#include "kernels/math.h"
#include "kernels/optim.h"

namespace rstorch::kernels {
namespace {

// Flat arrays that the threads of a launch go over: packs of V elements, then what is left one by one.
struct Flat {
  int64_t packs, count, threads;
};

template <class T, int V>
__device__ void store(T* to, const Pack<Compute<T>, V>& values) {
  write_pack(to, convert_pack<T>(values));
}
template <class T, int V>
__device__ void store(const T*, const Pack<Compute<T>, V>&) {}  // read only

template <int V, class F, class... X>
__device__ void update_pack(const F& f, const typename F::Numbers& numbers, int64_t at, X*... x) {
  const auto update = [&](auto... packs) {
    for (int j = 0; j < V; ++j) f(numbers, packs.values[j]...);
    (store(x + at, packs), ...);
  };
  update(convert_pack<Compute<std::remove_const_t<X>>>(read_pack<V>(x + at))...);
}

// What all elements need is computed by one thread of a block.
template <int V, class F, class... X>
__global__ void update_arrays(F f, Flat flat, X*... x) {
  __shared__ typename F::Numbers shared;
  if (threadIdx.x == 0) shared = f.numbers();
  __syncthreads();
  const typename F::Numbers numbers = shared;
  if (f.idle(numbers)) return;
  const int64_t thread = int64_t(blockIdx.x) * kBlock + threadIdx.x;
  for (int64_t i = thread; i < flat.packs; i += flat.threads) update_pack<V>(f, numbers, i * V, x...);
  for (int64_t i = flat.packs * V + thread; i < flat.count; i += flat.threads) update_pack<1>(f, numbers, i, x...);
}

// Calls f(f.numbers(), x[i]...) for each i below `count`; f changes the elements of arrays that are not const. Unless
// f.idle(f.numbers()). `name` is for errors.
template <class F, class T, class... X>
void update(CudaStream& stream, std::string_view name, const F& f, int64_t count, T* first, X*... others) {
  constexpr int64_t kMostBlocks = 2048;  // they fill any GPU; their threads go on to further elements
  const auto run = [&]<int V>() {
    const int64_t packs = count / V, blocks = std::min((packs + kBlock) / kBlock, kMostBlocks);
    launch_blocks(stream, name, dim3(unsigned(blocks)), update_arrays<V, F, T, X...>, f,
                  Flat{packs, count, blocks * kBlock}, first, others...);
  };
  if (count == 0) return;
  const bool in_packs = aligned(first, 16) && (aligned(others, 16) && ...);
  in_packs ? run.template operator()<kPack<T>>() : run.template operator()<1>();
}

template <class C>
struct Sgd {
  struct Numbers {
    C lr, weight_decay, grad_scale, momentum, fresh;  // fresh: share of the new gradient in the buffer
    bool first, left_out;
  };
  Momentum kind;
  const OptimScalars* scalars;

  __device__ Numbers numbers() const {
    const OptimScalars& s = *scalars;
    return {C(s.lr),         C(s.weight_decay), C(s.grad_scale), C(s.momentum), C(1 - s.dampening),
            s.update() == 1, s.is_left_out()};
  }
  __device__ bool idle(const Numbers& s) const { return s.left_out; }
  __device__ void operator()(const Numbers& s, C dw, C& w) const { w -= s.lr * gradient(s, dw, w); }
  // The first step starts the buffer: its old contents may be anything.
  __device__ void operator()(const Numbers& s, C dw, C& w, C& buffer) const {
    const C g = gradient(s, dw, w);
    buffer = s.first ? g : s.momentum * buffer + s.fresh * g;
    w -= s.lr * (kind == Momentum::nesterov ? g + s.momentum * buffer : buffer);
  }

 private:
  __device__ static C gradient(const Numbers& s, C dw, C w) { return dw * s.grad_scale + s.weight_decay * w; }
};

void sgd_step_cuda(CudaStream& stream, Momentum kind, const OptimScalars* scalars, ConstView dw, View w, View buffer) {
  dispatch(Floats{}, w.dtype, "sgd_step", [&]<class T>(Type<T>) {
    const Sgd<Compute<T>> f{kind, scalars};
    if (kind == Momentum::none) return update(stream, "sgd_step", f, w.numel(), dw.as<T>(), w.as<T>());
    update(stream, "sgd_step", f, w.numel(), dw.as<T>(), w.as<T>(), buffer.as<T>());
  });
}

template <class C>
struct Adam {
  struct Numbers {
    C grad_scale, decay_gradient, keep_weight, beta2, fresh1, fresh2, step_size, root_correction, eps;
    bool left_out;
  };
  WeightDecay decay;
  const OptimScalars* scalars;

  __device__ Numbers numbers() const {
    const OptimScalars& s = *scalars;
    const double correction1 = 1 - math::pow(s.beta1, double(s.update()));
    const double correction2 = 1 - math::pow(s.beta2, double(s.update()));
    return {.grad_scale = C(s.grad_scale),
            .decay_gradient = decay == WeightDecay::coupled ? C(s.weight_decay) : C(0),
            .keep_weight = decay == WeightDecay::decoupled ? C(1 - s.lr * s.weight_decay) : C(1),
            .beta2 = C(s.beta2),
            .fresh1 = C(1 - s.beta1),
            .fresh2 = C(1 - s.beta2),
            .step_size = C(s.lr / correction1),
            .root_correction = C(math::sqrt(correction2)),
            .eps = C(s.eps),
            .left_out = s.is_left_out()};
  }
  __device__ bool idle(const Numbers& s) const { return s.left_out; }
  __device__ void operator()(const Numbers& s, C dw, C& w, C& m, C& v) const {
    average(s, dw, w, m, v);
    step(s, w, m, v);
  }
  // AMSGrad
  __device__ void operator()(const Numbers& s, C dw, C& w, C& m, C& v, C& max_v) const {
    average(s, dw, w, m, v);
    max_v = max_v > v ? max_v : v;
    step(s, w, m, max_v);
  }

 private:
  __device__ static void average(const Numbers& s, C dw, C w, C& m, C& v) {
    const C g = dw * s.grad_scale + s.decay_gradient * w;
    m += s.fresh1 * (g - m);
    v = s.beta2 * v + s.fresh2 * g * g;
  }
  __device__ static void step(const Numbers& s, C& w, C m, C v) {
    w = w * s.keep_weight - s.step_size * m / (math::sqrt(v) / s.root_correction + s.eps);
  }
};

void adam_step_cuda(CudaStream& stream, WeightDecay decay, const OptimScalars* scalars, ConstView dw, View w, View m,
                    View v, View max_v) {
  dispatch(Floats{}, w.dtype, "adam_step", [&]<class T>(Type<T>) {
    const Adam<Compute<T>> f{decay, scalars};
    const auto step = [&](auto*... more) {
      update(stream, "adam_step", f, w.numel(), dw.as<T>(), w.as<T>(), m.as<T>(), v.as<T>(), more...);
    };
    max_v.defined() ? step(max_v.as<T>()) : step();
  });
}

template <class T>
struct SquaredNorm {
  struct State {
    double total;
  };
  double* out;

  __device__ State empty() const { return {0}; }
  __device__ void add(State& state, T x, uint32_t) const { state.total += convert<double>(x) * convert<double>(x); }
  __device__ void merge(State& state, const State& later) const { state.total += later.total; }
  __device__ void store(uint32_t, const State& state) const { *out = state.total; }
};

void squared_norm_cuda(CudaStream& stream, ConstView x, View out) {
  dispatch(Floats{}, x.dtype, "squared_norm", [&]<class T>(Type<T>) {
    reduce<T>(stream, "squared_norm", SquaredNorm<T>{out.as<double>()}, {x}, Shape::filled(x.dims(), 1));
  });
}

// One block.
__global__ void find_clip_factor(const double* squares, int64_t count, double max_norm, double* norm, double* factor) {
  const Group<kBlock> block;
  double total = 0;
  for (int64_t i = block.lane(); i < count; i += kBlock) total += squares[i];
  const double length = math::sqrt(block.sum(total));
  if (block.lane() != 0) return;
  *norm = length;
  *factor = length < std::numeric_limits<double>::infinity() ? min(1.0, max_norm / (length + 1e-6)) : 1.0;
}

void clip_factor_cuda(CudaStream& stream, ConstView squares, double max_norm, View norm, View factor) {
  launch_blocks(stream, "clip_factor", 1, find_clip_factor, squares.as<double>(), squares.numel(), max_norm,
                norm.as<double>(), factor.as<double>());
}

template <class C>
struct Scale {
  using Numbers = C;
  const double* factor;

  __device__ C numbers() const { return C(*factor); }
  __device__ bool idle(C by) const { return by == C(1); }
  __device__ void operator()(C by, C& x) const { x *= by; }
};

void scale_by_cuda(CudaStream& stream, ConstView factor, View x) {
  dispatch(Floats{}, x.dtype, "scale_by", [&]<class T>(Type<T>) {
    update(stream, "scale_by", Scale<Compute<T>>{factor.as<double>()}, x.numel(), x.as<T>());
  });
}

template <class T>
struct AllFinite {
  struct State {
    bool holds;
  };
  bool* out;

  __device__ State empty() const { return {true}; }
  __device__ void add(State& state, T x, uint32_t) const {
    using C = Compute<T>;
    state.holds &= math::abs(convert<C>(x)) < std::numeric_limits<C>::infinity();
  }
  __device__ void merge(State& state, const State& later) const { state.holds &= later.holds; }
  __device__ void store(uint32_t, const State& state) const { *out = state.holds; }
};

void all_finite_cuda(CudaStream& stream, ConstView x, View out) {
  dispatch(Floats{}, x.dtype, "all_finite", [&]<class T>(Type<T>) {
    reduce<T>(stream, "all_finite", AllFinite<T>{out.as<bool>()}, {x}, Shape::filled(x.dims(), 1));
  });
}

// Threads that find something write the same, so their order does not matter.
template <class C>
struct Unscale {
  using Numbers = C;
  const float* scale;
  bool* found;

  __device__ C numbers() const { return C(float(1.0 / double(*scale))); }
  __device__ bool idle(C) const { return false; }
  __device__ void operator()(C by, C& x) const {
    if (!(math::abs(x) < std::numeric_limits<C>::infinity())) *found = true;
    x *= by;
  }
};

void unscale_cuda(CudaStream& stream, ConstView scale, View found, View x) {
  dispatch(Floats{}, x.dtype, "unscale", [&]<class T>(Type<T>) {
    update(stream, "unscale", Unscale<Compute<T>>{scale.as<float>(), found.as<bool>()}, x.numel(), x.as<T>());
  });
}

__global__ void apply_loss_scale_rule(LossScaleRule rule, bool* found, float* scale, int32_t* growth,
                                      int64_t* left_out) {
  if (blockIdx.x == 0 && threadIdx.x == 0) rule.apply(*found, *scale, *growth, *left_out);
}

void update_loss_scale_cuda(CudaStream& stream, LossScaleRule rule, View found, View scale, View growth,
                            View left_out) {
  launch(stream, "update_loss_scale", 1, apply_loss_scale_rule, rule, found.as<bool>(), scale.as<float>(),
         growth.as<int32_t>(), left_out.as<int64_t>());
}

}  // namespace

void install_optim() {
  sgd_step.cuda = sgd_step_cuda;
  adam_step.cuda = adam_step_cuda;
  squared_norm.cuda = squared_norm_cuda;
  clip_factor.cuda = clip_factor_cuda;
  scale_by.cuda = scale_by_cuda;
  all_finite.cuda = all_finite_cuda;
  unscale.cuda = unscale_cuda;
  update_loss_scale.cuda = update_loss_scale_cuda;
}

}  // namespace rstorch::kernels
