#include "kernels/attention.h"

#include "kernels/cpu/attention_scores.h"
#include "kernels/math.h"

namespace rstorch::kernels {
namespace {

using namespace attention_scores;

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
      for (int i = 0; i < kQueries; ++i) {
        const T score = scores[j * kQueries + i];
        next[i] = score > next[i] ? score : next[i];  // std::max keeps it from being vectorised
      }
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
          const T* const factor = dropout_factors(head, chunk, buffers);
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

void attention_cpu(CpuStream& stream, Attention a, View y, View log_sums) {
  specialised(y.dtype, "attention", [&]<class T, Isa isa>() { forward<T, isa>(stream, a, y, log_sums); });
}

}  // namespace

Kernel<Attention, View, View> attention{"attention", attention_cpu};

}  // namespace rstorch::kernels
