// Three kernels besides the sums of y dy. The result and the gradient of queries go over all keys for some queries, the
// gradients of keys and values over all queries for some keys: so no two blocks add to the same numbers.
#include <algorithm>
#include <limits>
#include <utility>

#include "kernels/attention.h"
#include "kernels/cuda/attention_mma.cuh"
#include "kernels/cuda/group.cuh"
#include "kernels/cuda/install.h"
#include "kernels/philox.h"

namespace rstorch::kernels {
namespace {

template <class C>
inline constexpr C kInfinity = std::numeric_limits<C>::infinity();

// A [batch, heads, lines, size] view on the device.
template <class T>
struct Heads {
  T* data;
  int64_t batch, head, line;  // strides
  int64_t size;

  template <class V>
  explicit Heads(const V& view)
      : data(const_cast<T*>(static_cast<const T*>(view.data))),
        batch(view.defined() ? view.strides[0] : 0),
        head(view.defined() ? view.strides[1] : 0),
        line(view.defined() ? view.strides[2] : 0),
        size(view.defined() ? view.shape[3] : 0) {}

  __device__ T* at(int64_t b, int64_t h, int64_t i) const { return data + b * batch + h * head + i * line; }
};

// What the kernels know of the whole.
template <class T>
struct Problem {
  using C = Compute<T>;
  Heads<const T> query, key, value;
  const void* mask;
  bool mask_is_bool, is_causal;
  int64_t mask_strides[4] = {};
  int64_t batch, heads;
  int length, keys;
  C scale, kept;  // kept: what a probability that is not dropped is multiplied by
  bool drops;
  uint32_t threshold;  // a word at or above it keeps its probability
  RandomKey random;

  explicit Problem(const Attention& a)
      : query(a.query),
        key(a.key),
        value(a.value),
        mask(a.mask.data),
        mask_is_bool(a.mask.dtype == DType::boolean),
        is_causal(a.is_causal),
        batch(a.query.shape[0]),
        heads(a.query.shape[1]),
        length(int(a.query.shape[2])),
        keys(int(a.key.shape[2])),
        scale(C(a.scale)),
        kept(C(a.dropout_p < 1 ? 1 / (1 - a.dropout_p) : 0)),
        drops(a.dropout_p > 0),
        threshold(a.dropout_p < 1 ? uint32_t(a.dropout_p * 0x1p24) << 8 : 0),
        random(a.random) {
    for (int i = 0; mask && i < 4; ++i) mask_strides[i] = a.mask.strides[i];
  }
};

// Whether there is a mask or dropout: without them the scores' code is a third as long.
enum class Extras { none, some };

// The head that a block works on.
template <class T, Extras extras>
class Head {
 public:
  using C = Compute<T>;

  __device__ Head(const Problem<T>& problem, int64_t number)
      : p(problem),
        number(number),
        b_(number / problem.heads),
        h_(number % problem.heads),
        philox_(problem.random),
        first_(first_of(problem.random) + uint64_t(number) * uint64_t(problem.length) * uint64_t(problem.keys)) {}

  // Lines from `first` on.
  __device__ Lines<T> lines(const Heads<const T>& of, int64_t first, int64_t count) const {
    return {of.at(b_, h_, first), of.line, count - first, of.size};
  }
  __device__ Lines<T> queries(int64_t first) const { return lines(p.query, first, p.length); }
  __device__ Lines<T> keys(int64_t first) const { return lines(p.key, first, p.keys); }
  __device__ Lines<T> values(int64_t first) const { return lines(p.value, first, p.keys); }
  // How many keys the queries before `end` see.
  __device__ int seen(int end) const { return p.is_causal ? min(end, p.keys) : p.keys; }

  // The score of query i and key j, from their product.
  __device__ C score(int i, int j, C product) const {
    if (i >= p.length || j >= p.keys || (p.is_causal && j > i)) return -kInfinity<C>;
    product *= p.scale;
    if (extras == Extras::none || !p.mask) return product;
    const int64_t at = b_ * p.mask_strides[0] + h_ * p.mask_strides[1] + i * p.mask_strides[2] + j * p.mask_strides[3];
    if (!p.mask_is_bool) return product + convert<C>(static_cast<const T*>(p.mask)[at]);
    return static_cast<const bool*>(p.mask)[at] ? product : -kInfinity<C>;
  }
  // What dropout multiplies the probability of query i and key j by. Remembers the cipher's last block.
  __device__ C factor(int i, int j) {
    if (extras == Extras::none || !p.drops) return C(1);
    const uint64_t at = first_ + uint64_t(int64_t(i) * p.keys + j);
    if (at / 4 != block_) {
      block_ = at / 4;
      words_ = philox_.block(block_);
    }
    const uint32_t low = at % 2 ? words_.words[1] : words_.words[0], high = at % 2 ? words_.words[3] : words_.words[2];
    return (at % 4 < 2 ? low : high) >= p.threshold ? p.kept : C(0);
  }

  const Problem<T>& p;
  const int64_t number;

 private:
  int64_t b_, h_;
  Philox philox_;
  uint64_t first_, block_ = ~uint64_t(0);
  PhiloxBlock words_{};
};

// Place of a block's work: a head, and the first of its rows. The last rows come first: with a causal mask they are the
// most work.
template <class Tiles>
struct Place {
  int64_t head;
  int first, column;

  __device__ explicit Place(int rows) {
    const unsigned tiles = unsigned(rows + Tiles::kRows - 1) / Tiles::kRows;
    head = blockIdx.x / tiles;
    first = int(tiles - 1 - blockIdx.x % tiles) * Tiles::kRows;
    column = int(blockIdx.y) * Tiles::kWidth;
  }
};

// All of the lanes that share a row get the result.
template <class Tiles, class C, class F>
__device__ C merge_row(C value, const F& merge) {
  for (unsigned step = Tiles::kLanesOfRow / 2; step > 0; step /= 2)
    value = merge(value, __shfl_xor_sync(0xffffffff, value, int(step)));
  return value;
}

// f(0), ..., f(N - 1), so that arrays with these indices can be in registers.
template <int N, class F>
__device__ __forceinline__ void unrolled(const F& f) {
  [&]<int... I>(std::integer_sequence<int, I...>) { (f(I), ...); }
  (std::make_integer_sequence<int, N>());
}

template <class Tiles>
__device__ void clear(typename Tiles::Output& output) {
  for (int r = 0; r < Tiles::kOwnRows; ++r)
    for (int c = 0; c < Tiles::kOwnWidth; ++c) output[r][c] = 0;
}

// Writes output[r][c] * factor(r).
template <class Tiles, class T, class F>
__device__ void store(const typename Tiles::Output& output, const Heads<T>& to, int64_t head, int64_t heads,
                      const Place<Tiles>& place, int64_t rows, const F& factor) {
  unrolled<Tiles::kOwnRows>([&](int r) {
    const int64_t row = place.first + Tiles::row(r);
    if (row >= rows) return;
    T* const line = to.at(head / heads, head % heads, row);
    unrolled<Tiles::kOwnWidth>([&](int c) {
      const int64_t column = place.column + Tiles::output_column(c);
      if (column < to.size) line[column] = convert<T>(output[r][c] * factor(r));
    });
  });
}

template <class Tiles, Extras extras, class T>
__global__ void attend(Problem<T> problem, Heads<T> y, Compute<T>* log_sums) {
  using C = Compute<T>;
  constexpr int R = Tiles::kOwnRows;
  __shared__ typename Tiles::Shared shared;
  Tiles tiles(shared);
  const Place<Tiles> place(problem.length);
  Head<T, extras> head(problem, place.head);
  const auto queries = tiles.hold(head.queries(place.first));
  typename Tiles::Output output;
  clear<Tiles>(output);
  C top[R], total[R];
  for (int r = 0; r < R; ++r) top[r] = -kInfinity<C>, total[r] = 0;

  const int seen = head.seen(min(place.first + Tiles::kRows, problem.length));
  tiles.start(head.keys(0), head.values(0));
  for (int first = 0; first < seen; first += Tiles::kColumns) {
    const auto [keys, values] = tiles.next(head.keys(first + Tiles::kColumns), head.values(first + Tiles::kColumns));
    typename Tiles::Scores scores;
    tiles.multiply(scores, queries, keys);
    unrolled<R>([&](int r) {
      const int i = place.first + Tiles::row(r);
      C next = top[r];
      for (int c = 0; c < Tiles::kOwnColumns; ++c) {
        scores[r][c] = head.score(i, first + Tiles::column(c), scores[r][c]);
        next = max(next, scores[r][c]);
      }
      next = merge_row<Tiles>(next, [](C a, C b) { return max(a, b); });
      const C shift = next == -kInfinity<C> ? C(0) : next, shrink = Tiles::exp(top[r] - shift);
      top[r] = next;
      total[r] *= shrink;
      for (int c = 0; c < Tiles::kOwnWidth; ++c) output[r][c] *= shrink;
      for (int c = 0; c < Tiles::kOwnColumns; ++c) {
        const C p = Tiles::exp(scores[r][c] - shift);
        total[r] += p;
        scores[r][c] = p * head.factor(i, first + Tiles::column(c));
      }
    });
    tiles.accumulate(output, scores, values, place.column);
  }

  for (int r = 0; r < R; ++r) {
    total[r] = merge_row<Tiles>(total[r], [](C a, C b) { return a + b; });
    const int i = place.first + Tiles::row(r);
    if (blockIdx.y > 0 || threadIdx.x % Tiles::kLanesOfRow > 0 || i >= problem.length) continue;
    log_sums[place.head * problem.length + i] = total[r] == C(0) ? kInfinity<C> : top[r] + math::log(total[r]);
  }
  store<Tiles>(output, y, place.head, problem.heads, place, problem.length,
               [&](int r) { return total[r] == C(0) ? C(0) : C(1) / total[r]; });
}

// dots[row] = sum over a row of dy y, a warp each.
template <class T>
__global__ void row_dots(Heads<const T> dy, Heads<const T> y, int64_t heads, int64_t length, int64_t rows,
                         Compute<T>* dots) {
  using C = Compute<T>;
  const Group<kWarp> group;
  const int64_t row = group.row(), head = row / length, i = row % length;
  C sum = 0;
  if (row < rows) {
    const T *const a = dy.at(head / heads, head % heads, i), *const b = y.at(head / heads, head % heads, i);
    for (int64_t c = group.lane(); c < y.size; c += kWarp) sum += convert<C>(a[c]) * convert<C>(b[c]);
  }
  sum = group.sum(sum);
  if (row < rows && group.lane() == 0) dots[row] = sum;
}

// What the backward pass knows of each query.
template <class C>
struct QueryTerms {
  const C *log_sums, *dots;
};

template <class Tiles, Extras extras, class T>
__global__ void query_gradient(Problem<T> problem, Heads<const T> dy, QueryTerms<Compute<T>> terms, Heads<T> dquery) {
  using C = Compute<T>;
  constexpr int R = Tiles::kOwnRows;
  __shared__ typename Tiles::Shared shared;
  Tiles tiles(shared);
  const Place<Tiles> place(problem.length);
  Head<T, extras> head(problem, place.head);
  const auto queries = tiles.hold(head.queries(place.first));
  const auto dys = tiles.hold(head.lines(dy, place.first, problem.length));
  typename Tiles::Output output;
  clear<Tiles>(output);
  C log_sum[R], dot[R];
  for (int r = 0; r < R; ++r) {
    const int i = place.first + Tiles::row(r);
    const int64_t at = place.head * problem.length + i;
    log_sum[r] = i < problem.length ? terms.log_sums[at] : kInfinity<C>;
    dot[r] = i < problem.length ? terms.dots[at] : C(0);
  }

  const int seen = head.seen(min(place.first + Tiles::kRows, problem.length));
  tiles.start(head.keys(0), head.values(0));
  for (int first = 0; first < seen; first += Tiles::kColumns) {
    const auto [keys, values] = tiles.next(head.keys(first + Tiles::kColumns), head.values(first + Tiles::kColumns));
    typename Tiles::Scores scores, gradients;
    tiles.multiply(scores, queries, keys);
    tiles.multiply(gradients, dys, values);
    unrolled<R>([&](int r) {
      const int i = place.first + Tiles::row(r);
      for (int c = 0; c < Tiles::kOwnColumns; ++c) {
        const int j = first + Tiles::column(c);
        const C p = Tiles::exp(head.score(i, j, scores[r][c]) - log_sum[r]);
        gradients[r][c] = p * (gradients[r][c] * head.factor(i, j) - dot[r]);
      }
    });
    tiles.accumulate(output, gradients, keys, place.column);
  }
  store<Tiles>(output, dquery, place.head, problem.heads, place, problem.length, [&](int) { return problem.scale; });
}

// The rows are keys here, the columns queries. Either gradient may be without data.
template <class Tiles, Extras extras, class T>
__global__ void key_value_gradients(Problem<T> problem, Heads<const T> dy, QueryTerms<Compute<T>> terms, Heads<T> dkey,
                                    Heads<T> dvalue) {
  using C = Compute<T>;
  __shared__ typename Tiles::Shared shared;
  Tiles tiles(shared);
  const Place<Tiles> place(problem.keys);
  Head<T, extras> head(problem, place.head);
  const auto keys = tiles.hold(head.keys(place.first));
  const auto values = tiles.hold(head.values(place.first));
  typename Tiles::Output of_key, of_value;
  clear<Tiles>(of_key);
  clear<Tiles>(of_value);

  // Earlier queries do not see these keys.
  const int begin = problem.is_causal ? place.first / Tiles::kColumns * Tiles::kColumns : 0;
  tiles.start(head.queries(begin), head.lines(dy, begin, problem.length));
  for (int first = begin; first < problem.length; first += Tiles::kColumns) {
    const int next = first + Tiles::kColumns;
    const auto [queries, dys] = tiles.next(head.queries(next), head.lines(dy, next, problem.length));
    typename Tiles::Scores scores, gradients;
    tiles.multiply(scores, keys, queries);
    tiles.multiply(gradients, values, dys);
    unrolled<Tiles::kOwnColumns>([&](int c) {
      const int i = first + Tiles::column(c);
      const int64_t at = place.head * problem.length + i;
      const C log_sum = i < problem.length ? terms.log_sums[at] : kInfinity<C>;
      const C dot = i < problem.length ? terms.dots[at] : C(0);
      for (int r = 0; r < Tiles::kOwnRows; ++r) {
        const int j = place.first + Tiles::row(r);
        const C p = Tiles::exp(head.score(i, j, scores[r][c]) - log_sum), factor = head.factor(i, j);
        scores[r][c] = p * factor;
        gradients[r][c] = p * (gradients[r][c] * factor - dot);
      }
    });
    tiles.accumulate(of_value, scores, dys, place.column);
    tiles.accumulate(of_key, gradients, queries, place.column);
  }
  if (dvalue.data)
    store<Tiles>(of_value, dvalue, place.head, problem.heads, place, problem.keys, [](int) { return C(1); });
  if (dkey.data)
    store<Tiles>(of_key, dkey, place.head, problem.heads, place, problem.keys, [&](int) { return problem.scale; });
}

// Blocks for `rows` rows of each head and `columns` columns of the result.
template <class Tiles, class T>
dim3 blocks_of_tiles(std::string_view name, const Problem<T>& problem, int64_t rows, int64_t columns) {
  const int64_t blocks = problem.batch * problem.heads * ((rows + Tiles::kRows - 1) / Tiles::kRows);
  if (blocks > INT32_MAX) throw ShapeError(format("{}: {} blocks of rows are too many for cuda", name, blocks));
  return {unsigned(blocks), unsigned(std::max<int64_t>((columns + Tiles::kWidth - 1) / Tiles::kWidth, 1))};
}

// All are lines of `size` numbers that can be read 16 bytes at a time.
bool has_packs(int64_t size, std::initializer_list<ConstView> views) {
  return std::all_of(views.begin(), views.end(), [size](const ConstView& view) {
    const bool even = std::all_of(view.strides.begin(), view.strides.begin() + 3,
                                  [&](int64_t stride) { return stride * int64_t(size_of(view.dtype)) % 16 == 0; });
    return view.shape[3] == size && even && aligned(view.data, 16);
  });
}

// Calls f.operator()<extras>().
template <class F>
void with_extras(const Attention& a, const F& f) {
  if (a.mask.defined() || a.dropout_p > 0) return f.template operator()<Extras::some>();
  f.template operator()<Extras::none>();
}

void attention_cuda(CudaStream& stream, Attention a, View y, View log_sums) {
  constexpr std::string_view name = "attention";
  dispatch(Floats{}, y.dtype, name, [&]<class T>(Type<T>) {
    const Problem<T> problem(a);
    const auto run = [&]<class Tiles, Extras extras>() {
      launch_blocks(stream, name, blocks_of_tiles<Tiles>(name, problem, problem.length, y.shape[3]),
                    attend<Tiles, extras, T>, problem, Heads<T>(y), log_sums.as<Compute<T>>());
    };
    if constexpr (is_half<T>) {
      const auto run_on_tensor_cores = [&]<int size>() {
        with_extras(
            a, [&]<Extras extras>() { run.template operator()<TensorTiles<T, size, 4096 / size, size>, extras>(); });
      };
      if (has_packs(64, {a.query, a.key, a.value})) return run_on_tensor_cores.template operator()<64>();
      if (has_packs(128, {a.query, a.key, a.value})) return run_on_tensor_cores.template operator()<128>();
    }
    run.template operator()<PlainTiles<T>, Extras::some>();
  });
}

void attention_backward_cuda(CudaStream& stream, Attention a, ConstView dy, ConstView y, ConstView log_sums,
                             View dquery, View dkey, View dvalue) {
  constexpr std::string_view name = "attention_backward";
  dispatch(Floats{}, y.dtype, name, [&]<class T>(Type<T>) {
    using C = Compute<T>;
    const Problem<T> problem(a);
    const int64_t rows = log_sums.numel();
    C* const dots = static_cast<C*>(stream.workspace(size_t(std::max<int64_t>(rows, 1)) * sizeof(C)));
    const Heads<const T> gradient(dy);
    launch_blocks(stream, name, blocks_of_rows<kWarp>(name, rows), row_dots<T>, gradient, Heads<const T>(y),
                  problem.heads, int64_t(problem.length), rows, dots);
    const QueryTerms<C> terms{log_sums.as<C>(), dots};
    const auto run = [&]<class Tiles, Extras extras>() {
      if (dquery.defined()) {
        launch_blocks(stream, name, blocks_of_tiles<Tiles>(name, problem, problem.length, problem.query.size),
                      query_gradient<Tiles, extras, T>, problem, gradient, terms, Heads<T>(dquery));
      }
      if (!dkey.defined() && !dvalue.defined()) return;
      const int64_t columns = std::max(problem.key.size, problem.value.size);
      launch_blocks(stream, name, blocks_of_tiles<Tiles>(name, problem, problem.keys, columns),
                    key_value_gradients<Tiles, extras, T>, problem, gradient, terms, Heads<T>(dkey), Heads<T>(dvalue));
    };
    if constexpr (is_half<T>) {
      // Tiles for which the registers suffice: 64 columns of the gradients at a time.
      const auto run_on_tensor_cores = [&]<int size>() {
        with_extras(a,
                    [&]<Extras extras>() { run.template operator()<TensorTiles<T, size, 2048 / size, 64>, extras>(); });
      };
      if (has_packs(64, {a.query, a.key, a.value, dy})) return run_on_tensor_cores.template operator()<64>();
      if (has_packs(128, {a.query, a.key, a.value, dy})) return run_on_tensor_cores.template operator()<128>();
    }
    run.template operator()<PlainTiles<T>, Extras::some>();
  });
}

}  // namespace

void install_attention() {
  attention.cuda = attention_cuda;
  attention_backward.cuda = attention_backward_cuda;
}

}  // namespace rstorch::kernels
