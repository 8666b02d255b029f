// Scores of attention on the CPU, a block of queries against a block of keys at a time, as both passes need them.
//
// They lie transposed, [key][query]: the maximum and the sum of a query are then those of a lane, and the probabilities
// are at once an operand of the next product. Functions are for use inside vectorised().
#pragma once

#include <limits>

#include "kernels/attention.h"
#include "kernels/cpu/pack.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/random_words.h"
#include "kernels/cpu/scratch.h"
#include "kernels/cpu/simd.h"
#include "kernels/cpu/strips.h"

namespace rstorch::kernels::attention_scores {

inline constexpr int kQueries = 64;    // of a block; a multiple of every tile's columns
inline constexpr int64_t kKeys = 264;  // of a block; a multiple of every tile's rows
inline constexpr int kChunk = 64;      // keys whose mask and dropout are laid out at a time

template <class T>
inline constexpr T kInfinity = std::numeric_limits<T>::infinity();

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
  T kept;              // what a kept probability is multiplied by
  bool drops;

  Head(const Attention& a, int64_t head)
      : query(head_of<const T>(a.query, head)),
        key(head_of<const T>(a.key, head)),
        value(head_of<const T>(a.value, head)),
        is_causal(a.is_causal),
        scale(T(a.scale)),
        random(a.random),
        first(first_of(a.random) + uint64_t(head * query.rows * key.rows)),
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
  static_assert(kQueries % TileT::columns == 0 && kKeys % TileT::rows == 0);
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
        columns(stream, kChunk * kQueries + 16) {
    // The lanes of queries that a block lacks are computed with too, and not used: numbers, whichever.
    std::fill_n(scores.data(), std::min(kKeys, a.key.shape[2]) * kQueries, T(0));
    std::fill_n(rows.data(), kQueries * kChunk, T(0));
  }
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

// What dropout multiplies the probabilities of a chunk by, [query][key].
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

// The same as the scores lie.
template <class T, Isa isa>
[[gnu::always_inline]] inline const T* dropout_factors(const Head<T>& head, const Block& chunk,
                                                       const Buffers<T, isa>& buffers) {
  draw_dropout(head, chunk, buffers.rows.data());
  return turn(buffers.rows.data(), chunk.keys, buffers.columns.data());
}

// The rows of a left operand that are a block's keys, and the columns of a product with its queries.
template <class T, Isa isa>
[[gnu::always_inline]] inline void multiply_block(const T* rows, const T* queries, int64_t features, const Block& block,
                                                  T* scores) {
  using TileT = Tile<T, isa>;
  const int64_t columns = divide_up(block.queries, TileT::columns) * TileT::columns;
  multiply_strips<TileT>(Left<T>{rows + block.key * features, features, TileT::rows}, Right<T>{queries, features},
                         features, Matrix<T>{scores, block.keys, columns, kQueries, 1}, true);
}

// scores = scale key query^T + mask. `queries` are packed and scaled.
template <class T, Isa isa>
[[gnu::always_inline]] inline void compute_scores(const Head<T>& head, const Buffers<T, isa>& buffers,
                                                  const Block& block) {
  T* const scores = buffers.scores.data();
  multiply_block<T, isa>(buffers.key_rows.data(), buffers.queries.data(), head.key.columns, block, scores);
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

// Calls f.operator()<T, isa>().
template <class F>
void specialised(DType dtype, std::string_view name, const F& f) {
  dispatch(FullFloats{}, dtype, name,
           [&]<class T>(Type<T>) { kernels::specialised([&]<Isa isa> { f.template operator()<T, isa>(); }); });
}

}  // namespace rstorch::kernels::attention_scores
