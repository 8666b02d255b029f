// A block of queries against a block of keys at a time. Its scores lie transposed, [key][query]: the maximum and the
// sum of a query are then those of a lane, and the probabilities are at once an operand of the next product. Keys and
// values are packed once for all queries of a head that a thread has.
#include "kernels/attention.h"

#include <cmath>
#include <limits>

#include "kernels/cpu/lanes.h"
#include "kernels/cpu/pack.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/random_words.h"
#include "kernels/cpu/scratch.h"
#include "kernels/cpu/simd.h"
#include "kernels/cpu/strips.h"
#include "kernels/math.h"

namespace rstorch::kernels {
namespace {

constexpr int kQueries = 64;    // of a block; a multiple of every tile's columns
constexpr int64_t kKeys = 264;  // of a block; a multiple of every tile's rows
constexpr int kChunk = 64;      // keys whose mask and dropout are laid out at a time

template <class T>
constexpr T kInfinity = std::numeric_limits<T>::infinity();

template <class T, class V>
auto head_of(const V& view, int64_t head) {
  const int64_t at = head / view.shape[1] * view.strides[0] + head % view.shape[1] * view.strides[1];
  return Matrix<T>{view.template as<std::remove_const_t<T>>() + at, view.shape[2], view.shape[3], view.strides[2], 1};
}

// One head of one sample, and what is to be done with its scores.
template <class T>
struct Head {
  Matrix<const T> query, key, value;
  const void* mask = nullptr;  // of this head
  bool is_bool = false;
  int64_t mask_row = 0, mask_column = 0;  // strides
  bool is_causal;
  T scale;
  Philox random;
  uint64_t first;      // number of the first probability
  uint32_t threshold;  // a word at or above it keeps its probability
  T kept;              // what a kept probability is multiplied by; 0: there is no dropout
  bool drops;

  Head(const Attention& a, int64_t head)
      : query(head_of<const T>(a.query, head)),
        key(head_of<const T>(a.key, head)),
        value(head_of<const T>(a.value, head)),
        is_causal(a.is_causal),
        scale(T(a.scale)),
        random(a.random),
        first(a.random.first + uint64_t(head * query.rows * key.rows)),
        threshold(a.dropout_p < 1 ? uint32_t(a.dropout_p * 0x1p24) << 8 : 0),
        kept(a.dropout_p < 1 ? T(1 / (1 - a.dropout_p)) : T(0)),
        drops(a.dropout_p > 0) {
    if (!a.mask.defined()) return;
    const int64_t heads = a.query.shape[1];
    is_bool = a.mask.dtype == DType::boolean;
    mask_row = a.mask.strides[2];
    mask_column = a.mask.strides[3];
    mask =
        static_cast<const char*>(a.mask.data) + (head / heads * a.mask.strides[0] + head % heads * a.mask.strides[1]) *
                                                    int64_t(is_bool ? sizeof(bool) : sizeof(T));
  }
  // How many keys the queries before `end` see.
  int64_t seen(int64_t end) const { return is_causal ? std::min(end, key.rows) : key.rows; }
};

// Some queries and some keys of a head.
struct Block {
  int64_t query, queries, key, keys;
};

// Scratch memory of a thread.
template <class T, Isa isa>
struct Buffers {
  using TileT = Tile<T, isa>;
  Scratch<T> key_rows, value_columns;  // all keys: key as a left operand, value as a right one
  Scratch<T> queries;                  // a block of them, times the scale, transposed, as a right operand
  Scratch<T> scores;                   // [key][query]
  Scratch<T> rows, columns;            // a chunk of numbers that come query by query, and the same transposed

  Buffers(const CpuStream& stream, const Attention& a)
      : key_rows(stream, packed_size(a.key.shape[2], a.key.shape[3], TileT::rows)),
        value_columns(stream, packed_size(a.value.shape[3], a.value.shape[2], TileT::columns)),
        queries(stream, packed_size(kQueries, a.query.shape[3], TileT::columns)),
        scores(stream, kKeys * kQueries),
        rows(stream, kQueries * kChunk),
        columns(stream, kChunk * kQueries + 16) {}
};

template <class T, class M>
[[gnu::always_inline]] inline void copy_mask(const Head<T>& head, const Block& chunk, T* to) {
  const M* const mask = static_cast<const M*>(head.mask) + chunk.query * head.mask_row + chunk.key * head.mask_column;
  for (int64_t i = 0; i < chunk.queries; ++i) {
    for (int64_t j = 0; j < chunk.keys; ++j) {
      const M m = mask[i * head.mask_row + j * head.mask_column];
      to[i * kChunk + j] = std::is_same_v<M, bool> ? (m ? T(0) : -kInfinity<T>) : T(m);
    }
  }
}

// What dropout multiplies the probabilities of a chunk by.
template <class T>
[[gnu::always_inline]] inline void draw_dropout(const Head<T>& head, const Block& chunk, T* to) {
  for (int64_t i = 0; i < chunk.queries; ++i) {
    const uint64_t first = head.first + uint64_t((chunk.query + i) * head.key.rows + chunk.key);
    for (int64_t j = 0; j < chunk.keys;) {
      alignas(64) uint32_t words[kWordsPerCall];
      const uint64_t at = first + uint64_t(j);
      random_words(head.random, at / 4, words);
      const auto skipped = int64_t(at % 4);
      const int64_t count = std::min<int64_t>(kWordsPerCall - skipped, chunk.keys - j);
      const uint32_t* const word = words + skipped;
      for (int64_t l = 0; l < count; ++l) to[i * kChunk + j + l] = word[l] >= head.threshold ? head.kept : T(0);
      j += count;
    }
  }
}

// Calls f(chunk, scores of its first key) for the chunks of a block.
template <class T, class F>
[[gnu::always_inline]] inline void for_each_chunk(const Block& block, T* scores, const F& f) {
  for (int64_t j = 0; j < block.keys; j += kChunk) {
    f(Block{block.query, block.queries, block.key + j, std::min<int64_t>(kChunk, block.keys - j)},
      scores + j * kQueries);
  }
}

// [query][key] -> [key][query]
template <class T>
[[gnu::always_inline]] inline const T* turn(const T* rows, int64_t keys, T* columns) {
  transpose_strip<kQueries>(rows, kChunk, keys, columns);
  return columns;
}

// scores = scale key query^T + mask. `queries` are packed and scaled.
template <class T, Isa isa>
[[gnu::always_inline]] inline void compute_scores(const Head<T>& head, const Buffers<T, isa>& buffers,
                                                  const Block& block) {
  using TileT = Tile<T, isa>;
  const int64_t features = head.key.columns;
  T* const scores = buffers.scores.data();
  multiply_strips<TileT>(
      Left<T>{buffers.key_rows.data() + block.key * features, features, TileT::rows},
      Right<T>{buffers.queries.data(), features}, features,
      Matrix<T>{scores, block.keys, divide_up(block.queries, TileT::columns) * TileT::columns, kQueries, 1}, true);
  if (head.mask) {
    for_each_chunk(block, scores, [&](const Block& chunk, T* s) {
      head.is_bool ? copy_mask<T, bool>(head, chunk, buffers.rows.data())
                   : copy_mask<T, T>(head, chunk, buffers.rows.data());
      const T* const added = turn(buffers.rows.data(), chunk.keys, buffers.columns.data());
      for (int64_t i = 0; i < chunk.keys * kQueries; ++i) s[i] += added[i];
    });
  }
  if (!head.is_causal) return;
  for (int64_t j = std::max<int64_t>(block.query + 1 - block.key, 0); j < block.keys; ++j) {
    const int64_t hidden_from = std::min<int64_t>(block.key + j - block.query, kQueries);
    for (int64_t i = 0; i < hidden_from; ++i) scores[j * kQueries + i] = -kInfinity<T>;
  }
}

// Softmax as the blocks of keys come (Milakov & Gimelshein 2018).
template <class T>
struct Running {
  T top[kQueries], total[kQueries], shrink[kQueries];

  [[gnu::always_inline]] Running() {
    for (int i = 0; i < kQueries; ++i) top[i] = -kInfinity<T>, total[i] = 0;
  }
  // scores -> probabilities, not divided by their sum yet. What came before is to be multiplied by `shrink`.
  [[gnu::always_inline]] void add(T* scores, int64_t keys) {
    T next[kQueries], sum[kQueries];
    for (int i = 0; i < kQueries; ++i) next[i] = top[i], sum[i] = 0;
    for (int64_t j = 0; j < keys; ++j) {
      for (int i = 0; i < kQueries; ++i) next[i] = std::max(next[i], scores[j * kQueries + i]);
    }
    for (int i = 0; i < kQueries; ++i) {
      const T shift = next[i] == -kInfinity<T> ? T(0) : next[i];
      shrink[i] = math::exp(top[i] - shift);
      top[i] = next[i];
      next[i] = shift;
    }
    for (int64_t j = 0; j < keys; ++j) {
      for (int i = 0; i < kQueries; ++i) {
        const T p = math::exp(scores[j * kQueries + i] - next[i]);
        scores[j * kQueries + i] = p;
        sum[i] += p;
      }
    }
    for (int i = 0; i < kQueries; ++i) total[i] = total[i] * shrink[i] + sum[i];
  }
};

template <class T>
[[gnu::always_inline]] inline void scale_row(T* row, int64_t n, T factor) {
  for (int64_t i = 0; i < n; ++i) row[i] *= factor;
}

// A block of queries, packed as the right operand of the scores, times the scale.
template <class T, Isa isa>
[[gnu::always_inline]] inline void pack_queries(const Head<T>& head, const Block& block,
                                                const Buffers<T, isa>& buffers) {
  using TileT = Tile<T, isa>;
  T* const to = buffers.queries.data();
  pack<TileT::columns>(head.query.part(block.query, block.query + block.queries, 0, head.query.columns), to);
  scale_row(to, divide_up(block.queries, TileT::columns) * TileT::columns * head.query.columns, head.scale);
}

// The queries [begin, end) of a head, `begin` that of a block.
template <class T, Isa isa>
[[gnu::always_inline]] inline void attend(const Head<T>& head, const Buffers<T, isa>& buffers, int64_t begin,
                                          int64_t end, const Matrix<T>& y, T* log_sums) {
  using TileT = Tile<T, isa>;
  const int64_t seen = head.seen(end);
  pack<TileT::rows>(head.key.part(0, seen, 0, head.key.columns), buffers.key_rows.data());
  pack<TileT::columns>(head.value.part(0, seen, 0, y.columns).transposed(), buffers.value_columns.data());
  T* const scores = buffers.scores.data();
  for (Block block{begin, 0, 0, 0}; block.query < end; block.query += kQueries) {
    block.queries = std::min<int64_t>(kQueries, end - block.query);
    const Matrix<T> out = y.part(block.query, block.query + block.queries, 0, y.columns);
    const int64_t keys = head.seen(block.query + block.queries);
    pack_queries(head, block, buffers);
    Running<T> running;
    for (block.key = 0; block.key < keys; block.key += kKeys) {
      block.keys = std::min(kKeys, keys - block.key);
      compute_scores(head, buffers, block);
      running.add(scores, block.keys);
      if (head.drops) {
        for_each_chunk(block, scores, [&](const Block& chunk, T* p) {
          draw_dropout(head, chunk, buffers.rows.data());
          const T* const factor = turn(buffers.rows.data(), chunk.keys, buffers.columns.data());
          for (int64_t i = 0; i < chunk.keys * kQueries; ++i) p[i] *= factor[i];
        });
      }
      for (int64_t i = 0; block.key > 0 && i < block.queries; ++i)
        scale_row(out.at(i, 0), out.columns, running.shrink[i]);
      multiply_strips<TileT>(Left<T>{scores, 1, kQueries},
                             Right<T>{buffers.value_columns.data() + block.key * TileT::columns, seen}, block.keys, out,
                             block.key == 0);
    }
    for (int64_t i = 0; i < block.queries; ++i) {
      const bool sees_none = running.total[i] == 0;
      if (sees_none) std::fill_n(out.at(i, 0), out.columns, T(0));
      if (!sees_none) scale_row(out.at(i, 0), out.columns, 1 / running.total[i]);
      log_sums[block.query + i] = sees_none ? kInfinity<T> : running.top[i] + math::log(running.total[i]);
    }
  }
}

template <class T, Isa isa>
void forward(const CpuStream& stream, const Attention& a, const View& y, const View& log_sums) {
  const int64_t length = y.shape[2], blocks = divide_up(length, kQueries);
  const int64_t cost = kQueries * a.key.shape[2] * (a.key.shape[3] + a.value.shape[3]) / 8;
  parallel_tasks(y.shape[0] * y.shape[1] * blocks, cost, [&](int64_t begin, int64_t end) {
    const Buffers<T, isa> buffers(stream, a);
    for (int64_t next; begin < end; begin = next) {
      const int64_t head = begin / blocks, first = begin % blocks;
      next = std::min(end, (head + 1) * blocks);
      const auto run = [of = Head<T>(a, head), &buffers, out = head_of<T>(y, head), from = first * kQueries,
                        to = std::min(length, (first + next - begin) * kQueries),
                        log_sums = log_sums.as<T>() + head * length] {
        attend<T, isa>(of, buffers, from, to, out, log_sums);
      };
      run_as<isa>(run);
    }
  });
}

// What the backward pass needs besides.
template <class T, Isa isa>
struct BackwardBuffers : Buffers<T, isa> {
  using TileT = Tile<T, isa>;
  Scratch<T> value_rows, key_columns;        // all keys, for the gradients of probabilities and of queries
  Scratch<T> dy, query_columns, dy_columns;  // of a block of queries
  Scratch<T> dscores;                        // [key][query]

  BackwardBuffers(const CpuStream& stream, const Attention& a)
      : Buffers<T, isa>(stream, a),
        value_rows(stream, packed_size(a.value.shape[2], a.value.shape[3], TileT::rows)),
        key_columns(stream, packed_size(a.key.shape[3], a.key.shape[2], TileT::columns)),
        dy(stream, packed_size(kQueries, a.value.shape[3], TileT::columns)),
        query_columns(stream, packed_size(a.query.shape[3], kQueries, TileT::columns)),
        dy_columns(stream, packed_size(a.value.shape[3], kQueries, TileT::columns)),
        dscores(stream, kKeys * kQueries) {}
};

// What the backward pass knows of the queries of a block.
template <class T>
struct QueryTerms {
  T log_sum[kQueries], dot[kQueries];  // dot: of y and dy
};

// From scores and the gradients of the dropped probabilities: those probabilities, and the gradients of the scores.
template <class T>
[[gnu::always_inline]] inline void score_gradients(const QueryTerms<T>& terms, int64_t keys, const T* factor, T* scores,
                                                   T* dscores) {
  for (int64_t j = 0; j < keys; ++j) {
    for (int i = 0; i < kQueries; ++i) {
      const int64_t at = j * kQueries + i;
      const T p = math::exp(scores[at] - terms.log_sum[i]), kept = factor ? factor[at] : T(1);
      scores[at] = p * kept;
      dscores[at] = p * (dscores[at] * kept - terms.dot[i]);
    }
  }
}

template <class T>
struct Gradients {
  Matrix<const T> dy, y;
  const T* log_sums;
  Matrix<T> dquery, dkey, dvalue;  // no data: not wanted
};

template <class T>
[[gnu::always_inline]] inline void clear(const Matrix<T>& m) {
  for (int64_t i = 0; m.data && i < m.rows; ++i) std::fill_n(m.at(i, 0), m.columns, T(0));
}

// All queries of a head.
template <class T, Isa isa>
[[gnu::always_inline]] inline void differentiate(const Head<T>& head, const BackwardBuffers<T, isa>& buffers,
                                                 const Gradients<T>& gradients) {
  using TileT = Tile<T, isa>;
  const auto& [dy, y, log_sums, dquery, dkey, dvalue] = gradients;
  const int64_t length = dy.rows;
  clear(dquery), clear(dkey), clear(dvalue);
  pack<TileT::rows>(head.key, buffers.key_rows.data());
  pack<TileT::rows>(head.value, buffers.value_rows.data());
  pack<TileT::columns>(head.key.transposed(), buffers.key_columns.data());
  T *const scores = buffers.scores.data(), *const dscores = buffers.dscores.data();
  for (Block block{0, 0, 0, 0}; block.query < length; block.query += kQueries) {
    block.queries = std::min<int64_t>(kQueries, length - block.query);
    const auto rows = [&](const auto& m) { return m.part(block.query, block.query + block.queries, 0, m.columns); };
    pack_queries(head, block, buffers);
    pack<TileT::columns>(rows(dy), buffers.dy.data());
    pack<TileT::columns>(rows(dy).transposed(), buffers.dy_columns.data());
    pack<TileT::columns>(rows(head.query).transposed(), buffers.query_columns.data());
    QueryTerms<T> terms;
    for (int64_t i = 0; i < kQueries; ++i) {
      terms.log_sum[i] = i < block.queries ? log_sums[block.query + i] : kInfinity<T>;
      terms.dot[i] = 0;
      if (i >= block.queries) continue;
      const T *const a = dy.at(block.query + i, 0), *const b = y.at(block.query + i, 0);
      terms.dot[i] = sum_lanes<T>(y.columns, [=](int64_t c) { return a[c] * b[c]; });
    }
    const int64_t keys = head.seen(block.query + block.queries);
    for (block.key = 0; block.key < keys; block.key += kKeys) {
      block.keys = std::min(kKeys, keys - block.key);
      compute_scores(head, buffers, block);
      multiply_strips<TileT>(
          Left<T>{buffers.value_rows.data() + block.key * dy.columns, dy.columns, TileT::rows},
          Right<T>{buffers.dy.data(), dy.columns}, dy.columns,
          Matrix<T>{dscores, block.keys, divide_up(block.queries, TileT::columns) * TileT::columns, kQueries, 1}, true);
      for_each_chunk(block, scores, [&](const Block& chunk, T* s) {
        const T* factor = nullptr;
        if (head.drops) {
          draw_dropout(head, chunk, buffers.rows.data());
          factor = turn(buffers.rows.data(), chunk.keys, buffers.columns.data());
        }
        score_gradients(terms, chunk.keys, factor, s, dscores + (s - scores));
      });
      const auto keys_of = [&](const Matrix<T>& m) { return m.part(block.key, block.key + block.keys, 0, m.columns); };
      if (dvalue.data) {
        multiply_strips<TileT>(Left<T, kQueries>{scores, kQueries, 1},
                               Right<T>{buffers.dy_columns.data(), block.queries}, block.queries, keys_of(dvalue),
                               false);
      }
      if (dkey.data) {
        multiply_strips<TileT>(Left<T, kQueries>{dscores, kQueries, 1},
                               Right<T>{buffers.query_columns.data(), block.queries}, block.queries, keys_of(dkey),
                               false);
      }
      if (dquery.data) {
        multiply_strips<TileT>(Left<T>{dscores, 1, kQueries},
                               Right<T>{buffers.key_columns.data() + block.key * TileT::columns, head.key.rows},
                               block.keys, rows(dquery), false);
      }
    }
  }
  for (const Matrix<T>& m : {dquery, dkey}) {
    for (int64_t i = 0; m.data && i < m.rows; ++i) scale_row(m.at(i, 0), m.columns, head.scale);
  }
}

template <class T, Isa isa>
void backward(const CpuStream& stream, const Attention& a, const ConstView& dy, const ConstView& y,
              const ConstView& log_sums, const View& dquery, const View& dkey, const View& dvalue) {
  const int64_t length = dy.shape[2];
  const int64_t cost = length * a.key.shape[2] * (3 * a.key.shape[3] + 2 * a.value.shape[3]) / 8;
  parallel_tasks(dy.shape[0] * dy.shape[1], cost, [&](int64_t begin, int64_t end) {
    const BackwardBuffers<T, isa> buffers(stream, a);
    for (int64_t head = begin; head < end; ++head) {
      const auto gradient = [&](const View& view) { return view.defined() ? head_of<T>(view, head) : Matrix<T>{}; };
      const Gradients<T> gradients{head_of<const T>(dy, head),
                                   head_of<const T>(y, head),
                                   log_sums.as<T>() + head * length,
                                   gradient(dquery),
                                   gradient(dkey),
                                   gradient(dvalue)};
      run_as<isa>([of = Head<T>(a, head), &buffers, gradients] { differentiate<T, isa>(of, buffers, gradients); });
    }
  });
}

// Calls f.operator()<T, isa>().
template <class F>
void specialised(DType dtype, std::string_view name, const F& f) {
  dispatch(FullFloats{}, dtype, name, [&]<class T>(Type<T>) {
    switch (machine_isa()) {
      case Isa::avx512:
        return f.template operator()<T, Isa::avx512>();
      case Isa::avx2:
        return f.template operator()<T, Isa::avx2>();
      case Isa::baseline:
        return f.template operator()<T, Isa::baseline>();
    }
  });
}

void attention_cpu(CpuStream& stream, Attention a, View y, View log_sums) {
  specialised(y.dtype, "attention", [&]<class T, Isa isa>() { forward<T, isa>(stream, a, y, log_sums); });
}

void attention_backward_cpu(CpuStream& stream, Attention a, ConstView dy, ConstView y, ConstView log_sums, View dquery,
                            View dkey, View dvalue) {
  specialised(y.dtype, "attention_backward",
              [&]<class T, Isa isa>() { backward<T, isa>(stream, a, dy, y, log_sums, dquery, dkey, dvalue); });
}

}  // namespace

Kernel<Attention, View, View> attention{"attention", attention_cpu};
Kernel<Attention, ConstView, ConstView, ConstView, View, View, View> attention_backward{"attention_backward",
                                                                                        attention_backward_cpu};

}  // namespace rstorch::kernels
