#include "kernels/cuda/device_errors.h"
#include "kernels/cuda/install.h"
#include "kernels/cuda/map.cuh"
#include "kernels/cuda/reduce.cuh"
#include "kernels/cuda/rows.cuh"
#include "kernels/loss.h"

namespace rstorch::kernels {
namespace {

// Classes, weighted and smoothed: the target's share of a loss is 1 - smoothing, that of each class smoothing /
// classes.
template <class T>
struct Classes {
  const int64_t* target;
  const T* weight;  // null: all 1
  Compute<T> smoothing;
  int64_t ignored;

  Classes(const ConstView& target, const ConstView& weight, const CrossEntropySettings& settings)
      : target(target.as<int64_t>()),
        weight(weight.as<T>()),
        smoothing(Compute<T>(settings.label_smoothing)),
        ignored(settings.ignore_index) {}
  __device__ Compute<T> weight_of(int64_t c) const { return weight ? convert<Compute<T>>(weight[c]) : Compute<T>(1); }
};

struct Totals {
  double loss = 0, weights = 0;

  // Those of the block, in every thread.
  __device__ void merge(const Group<kBlock>& block) {
    loss = block.sum(loss);
    weights = block.sum(weights);
  }
};

// loss: of each row, or null. totals: of each block.
template <unsigned Lanes, class T>
__global__ void entropy_of_rows(Rows rows, const T* x, Classes<T> classes, IndexCheck check, T* losses,
                                Compute<T>* log_sum_exp, Totals* totals) {
  using C = Compute<T>;
  const Row<Lanes> row(rows);
  const int64_t at = row.group.row();
  const bool counts =
      at < rows.count && classes.target[at] != classes.ignored && check.valid(classes.target[at], rows.size, at);
  const int64_t label = counts ? classes.target[at] : 0;
  const C own = counts ? convert<C>(x[row.first + label * rows.inner]) : C(0);
  // Smoothing wants sum w[c] (lse - x[c]) and gets it as sum w[c] (near - x[c]) + (lse - near) sum w[c], in one pass.
  const C near = math::abs(own) < std::numeric_limits<C>::infinity() ? own : C(0);
  LogSum<C> sum;
  C distances = 0, weights = 0;
  row.each_numbered([&](int64_t i, int64_t c) {
    const C value = convert<C>(x[i]);
    sum.add(value);
    if (classes.smoothing == C(0)) return;
    const C weight = classes.weight_of(c);
    distances += weight * (near - value);
    weights += weight;
  });
  sum.merge(row.group);
  distances = row.group.sum(distances);
  weights = row.group.sum(weights);
  const C lse = sum.top + math::log(sum.total);
  Totals mine;
  if (at < rows.count && row.group.lane() == 0) {
    C loss = 0;
    if (counts) {
      const C weight = classes.weight_of(label);
      loss = (C(1) - classes.smoothing) * weight * (lse - own);
      if (classes.smoothing != C(0)) loss += classes.smoothing / C(rows.size) * (distances + (lse - near) * weights);
      mine = {double(loss), double(weight)};
    }
    log_sum_exp[at] = lse;
    if (losses) losses[at] = convert<T>(loss);
  }
  const Group<kBlock> block;
  mine.merge(block);
  if (block.lane() == 0) totals[blockIdx.x] = mine;
}

// One block. loss: null where each row has its own.
template <class T>
__global__ void total_entropy(const Totals* totals, uint32_t count, Reduction reduction, T* loss, Compute<T>* divisor) {
  const Group<kBlock> block;
  Totals all;
  for (uint32_t i = block.lane(); i < count; i += kBlock) {
    all.loss += totals[i].loss;
    all.weights += totals[i].weights;
  }
  all.merge(block);
  if (block.lane() != 0) return;
  *divisor = Compute<T>(all.weights);
  // All ignored: 0 / 0, NaN, as PyTorch.
  if (loss) *loss = convert<T>(reduction == Reduction::mean ? all.loss / all.weights : all.loss);
}

void cross_entropy_cuda(CudaStream& stream, ConstView logits, ConstView target, ConstView weight,
                        CrossEntropySettings settings, View loss, View log_sum_exp, View divisor) {
  const Rows rows(logits);
  const IndexCheck check(stream, "cross_entropy", target_error);
  dispatch(Floats{}, logits.dtype, "cross_entropy", [&]<class T>(Type<T>) {
    const bool each = settings.reduction == Reduction::none;
    const Classes<T> classes(target, weight, settings);
    with_lanes(rows, [&]<unsigned Lanes>() {
      const dim3 blocks = blocks_of_rows<Lanes>("cross_entropy", rows.count);
      auto* const totals = static_cast<Totals*>(stream.workspace(blocks.x * sizeof(Totals)));
      launch_blocks(stream, "cross_entropy", blocks, entropy_of_rows<Lanes, T>, rows, logits.as<T>(), classes, check,
                    each ? loss.as<T>() : nullptr, log_sum_exp.as<Compute<T>>(), totals);
      launch_blocks(stream, "cross_entropy", 1, total_entropy<T>, static_cast<const Totals*>(totals), blocks.x,
                    settings.reduction, each ? nullptr : loss.as<T>(), divisor.as<Compute<T>>());
    });
  });
}

// dx[c] = g ((1 - s) w[t] (p[c] - [c == t]) + s / classes * (p[c] sum w - w[c])), p = softmax.
template <unsigned Lanes, class T>
__global__ void entropy_gradient(Rows rows, const T* dy, Reduction reduction, const T* x, Classes<T> classes,
                                 const Compute<T>* log_sum_exp, const Compute<T>* divisor, T* dx) {
  using C = Compute<T>;
  const Row<Lanes> row(rows);
  const int64_t at = row.group.row();
  const C spread = classes.smoothing / C(rows.size);
  C all = classes.smoothing;  // spread * sum w
  if (classes.smoothing != C(0) && classes.weight) {
    all = 0;
    row.each_numbered([&](int64_t, int64_t c) { all += classes.weight_of(c); });
    all = spread * row.group.sum(all);
  }
  if (at >= rows.count) return;
  const int64_t label = classes.target[at];
  if (label == classes.ignored || label < 0 || label >= rows.size) {
    return row.each([&](int64_t i) { dx[i] = convert<T>(C(0)); });
  }
  const C scale = reduction == Reduction::mean ? C(1) / *divisor : C(1);
  const C g = convert<C>(dy[reduction == Reduction::none ? at : 0]) * scale;
  const C own = (C(1) - classes.smoothing) * classes.weight_of(label), lse = log_sum_exp[at];
  row.each_numbered([&](int64_t i, int64_t c) {
    C out = (own + all) * math::exp(convert<C>(x[i]) - lse);
    if (classes.smoothing != C(0)) out -= spread * classes.weight_of(c);
    if (c == label) out -= own;
    dx[i] = convert<T>(g * out);
  });
}

void cross_entropy_backward_cuda(CudaStream& stream, ConstView dy, ConstView logits, ConstView target, ConstView weight,
                                 CrossEntropySettings settings, ConstView log_sum_exp, ConstView divisor,
                                 View dlogits) {
  const Rows rows(logits);
  dispatch(Floats{}, logits.dtype, "cross_entropy_backward", [&]<class T>(Type<T>) {
    with_lanes(rows, [&]<unsigned Lanes>() {
      launch_blocks(stream, "cross_entropy_backward", blocks_of_rows<Lanes>("cross_entropy_backward", rows.count),
                    entropy_gradient<Lanes, T>, rows, dy.as<T>(), settings.reduction, logits.as<T>(),
                    Classes<T>(target, weight, settings), log_sum_exp.as<Compute<T>>(), divisor.as<Compute<T>>(),
                    dlogits.as<T>());
    });
  });
}

struct SquaredError {
  template <class C>
  __device__ static C value(C x, C target) {
    return (x - target) * (x - target);
  }
  template <class C>
  __device__ static C slope(C x, C target) {
    return C(2) * (x - target);
  }
};

// With w = 1 + (pos_weight - 1) t: (1 - t) x + w log(1 + exp(-x)), PyTorch's stable form.
struct LogitLoss {
  template <class C>
  __device__ static C value(C x, C target, C pos_weight = 1) {
    return (C(1) - target) * x + (C(1) + (pos_weight - C(1)) * target) * math::softplus(-x);
  }
  template <class C>
  __device__ static C slope(C x, C target, C pos_weight = 1) {
    return (C(1) - target) - (C(1) + (pos_weight - C(1)) * target) * math::sigmoid(-x);
  }
};

template <class Loss>
struct Value {
  template <class... C>
  __device__ auto operator()(C... x) const {
    return Loss::value(x...);
  }
};
// Of dy and the loss's operands.
template <class Loss, class C>
struct Gradient {
  C scale;
  template <class... X>
  __device__ C operator()(C dy, X... x) const {
    return dy * scale * Loss::slope(x...);
  }
};

// The losses of all elements, added up: y = sum / divisor.
template <class Loss, class T>
struct TotalLoss {
  struct State {
    double total;
  };
  T* y;
  double divisor;

  __device__ State empty() const { return {0}; }
  __device__ void add(State& state, T x, T target, uint32_t) const { state.total += value(x, target); }
  __device__ void add(State& state, T x, T target, T weight, uint32_t) const {
    state.total += value(x, target, weight);
  }
  __device__ void merge(State& state, const State& later) const { state.total += later.total; }
  __device__ void store(uint32_t, const State& state) const { *y = convert<T>(state.total / divisor); }

 private:
  template <class... X>
  __device__ static double value(X... x) {
    return double(Loss::value(convert<Compute<T>>(x)...));
  }
};

template <class, class T>
using Each = T;

// `others`: views of x's shape.
template <class Loss, class... Views>
void loss_cuda(CudaStream& stream, std::string_view name, Reduction reduction, const View& y, const ConstView& x,
               const Views&... others) {
  dispatch(Floats{}, x.dtype, name, [&]<class T>(Type<T>) {
    if (reduction == Reduction::none) {
      return map<T, T, Each<Views, T>...>(stream, name, Value<Loss>{}, y, {x, others...});
    }
    const TotalLoss<Loss, T> total{y.as<T>(), reduction == Reduction::mean ? double(x.numel()) : 1};
    reduce<T, Each<Views, T>...>(stream, name, total, {x, others...}, Shape::filled(x.dims(), 1));
  });
}

template <class Loss, class... Views>
void gradient_cuda(CudaStream& stream, std::string_view name, ConstView dy, Reduction reduction, const View& dx,
                   const ConstView& x, const Views&... others) {
  if (reduction != Reduction::none) dy.shape = dx.shape, dy.strides = Shape::filled(dx.dims(), 0);
  const double scale = reduction == Reduction::mean ? 1 / double(x.numel()) : 1;
  dispatch(Floats{}, x.dtype, name, [&]<class T>(Type<T>) {
    using C = Compute<T>;
    map<T, T, T, Each<Views, T>...>(stream, name, Gradient<Loss, C>{C(scale)}, dx, {dy, x, others...});
  });
}

void mse_loss_cuda(CudaStream& stream, ConstView x, ConstView target, Reduction reduction, View y) {
  loss_cuda<SquaredError>(stream, "mse_loss", reduction, y, x, target);
}
void mse_loss_backward_cuda(CudaStream& stream, ConstView dy, ConstView x, ConstView target, Reduction reduction,
                            View dx) {
  gradient_cuda<SquaredError>(stream, "mse_loss_backward", dy, reduction, dx, x, target);
}

void bce_with_logits_cuda(CudaStream& stream, ConstView x, ConstView target, ConstView pos_weight, Reduction reduction,
                          View y) {
  if (pos_weight.defined()) {
    return loss_cuda<LogitLoss>(stream, "bce_with_logits", reduction, y, x, target, pos_weight);
  }
  loss_cuda<LogitLoss>(stream, "bce_with_logits", reduction, y, x, target);
}
void bce_with_logits_backward_cuda(CudaStream& stream, ConstView dy, ConstView x, ConstView target,
                                   ConstView pos_weight, Reduction reduction, View dx) {
  constexpr std::string_view name = "bce_with_logits_backward";
  if (pos_weight.defined()) return gradient_cuda<LogitLoss>(stream, name, dy, reduction, dx, x, target, pos_weight);
  gradient_cuda<LogitLoss>(stream, name, dy, reduction, dx, x, target);
}

}  // namespace

void install_loss() {
  cross_entropy.cuda = cross_entropy_cuda;
  cross_entropy_backward.cuda = cross_entropy_backward_cuda;
  mse_loss.cuda = mse_loss_cuda;
  mse_loss_backward.cuda = mse_loss_backward_cuda;
  bce_with_logits.cuda = bce_with_logits_cuda;
  bce_with_logits_backward.cuda = bce_with_logits_backward_cuda;
}

}  // namespace rstorch::kernels
