#include "kernels/attention.h"
#include "kernels/cpu/attention_scores.h"
#include "kernels/cpu/lanes.h"
#include "kernels/math.h"

namespace rstorch::kernels {
namespace {

using namespace attention_scores;

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
// factor(i) is what dropout multiplies number i by.
template <class T, class Factor>
[[gnu::always_inline]] inline void score_gradients(const QueryTerms<T>& terms, int64_t keys, T* scores, T* dscores,
                                                   Factor factor) {
  for (int64_t j = 0; j < keys; ++j) {
    for (int i = 0; i < kQueries; ++i) {
      const int64_t at = j * kQueries + i;
      const T p = math::exp(scores[at] - terms.log_sum[i]), f = factor(at);
      scores[at] = p * f;
      dscores[at] = p * (dscores[at] * f - terms.dot[i]);
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
      multiply_block<T, isa>(buffers.value_rows.data(), buffers.dy.data(), dy.columns, block, dscores);
      for_each_chunk(block, scores, [&](const Block& chunk, T* s) {
        T* const ds = dscores + (s - scores);
        if (!head.drops) return score_gradients(terms, chunk.keys, s, ds, [](int64_t) { return T(1); });
        const T* const factor = dropout_factors(head, chunk, buffers);
        score_gradients(terms, chunk.keys, s, ds, [factor](int64_t i) { return factor[i]; });
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

void attention_backward_cpu(CpuStream& stream, Attention a, ConstView dy, ConstView y, ConstView log_sums, View dquery,
                            View dkey, View dvalue) {
  specialised(y.dtype, "attention_backward",
              [&]<class T, Isa isa>() { backward<T, isa>(stream, a, dy, y, log_sums, dquery, dkey, dvalue); });
}

}  // namespace

Kernel<Attention, ConstView, ConstView, ConstView, View, View, View> attention_backward{"attention_backward",
                                                                                        attention_backward_cpu};

}  // namespace rstorch::kernels
