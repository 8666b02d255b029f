// The engine of CUDA reductions; kernels/reduce.h has what it promises.
//
// A block is `lanes` threads to a result, times the results that fit. Where neighbours in memory belong to one result,
// neighbouring threads share it; else neighbouring threads have neighbouring results. Few long results are cut into
// parts, one a block, whose states are merged by a second launch. All of it is decided by shapes alone, and states are
// merged in a fixed order, so the bits repeat.
#pragma once

#include <algorithm>
#include <bit>

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/walk.h"
#include "kernels/element.h"
#include "kernels/kernel.h"

namespace rstorch::kernels {

// What an Op of reduce() is:
//   struct Op {
//     struct State;                                          // trivial, at most 32 bytes
//     __device__ State empty() const;                        // of no elements
//     __device__ void add(State&, T x, uint32_t at) const;   // element number `at` of the result
//     __device__ void merge(State&, const State& later) const;
//     __device__ void store(uint32_t result, const State&) const;
//   };
namespace reduction {

// How the threads of a launch share the work.
struct Tiles {
  uint32_t results = 0, count = 0;  // so many results, each of so many elements
  uint32_t lanes = 1;               // threads to a result in a block, a power of two
  uint32_t parts = 1, part = 0;     // results are cut into `parts` of `part` elements
  bool lanes_first = true;          // neighbouring threads share a result

  uint32_t per_block() const { return kBlock / lanes; }
  dim3 blocks() const { return {(results + per_block() - 1) / per_block(), parts}; }
};

inline Tiles make_tiles(uint32_t results, uint32_t count, bool lanes_first) {
  constexpr uint32_t kEnoughBlocks = 512;  // to fill any GPU
  constexpr uint32_t kShortest = 16;       // elements of a thread that are worth a part of their own
  Tiles tiles{.results = results, .count = count, .lanes_first = lanes_first};
  const uint32_t most = lanes_first ? kBlock : kBlock / std::min(kWarp, std::bit_ceil(results));
  tiles.lanes = std::min(most, std::bit_ceil(std::max(count, 1u)));
  const uint32_t blocks = tiles.blocks().x;
  const uint32_t longest = tiles.lanes * kShortest;
  if (blocks < kEnoughBlocks && count > longest) {
    tiles.parts = std::min((kEnoughBlocks + blocks - 1) / blocks, (count + longest - 1) / longest);
  }
  tiles.part = (count + tiles.parts - 1) / tiles.parts;
  return tiles;
}

// Elements of x: result k begins at kept.offsets(k), its element i lies inner.offsets(i) behind.
template <class Op, class T>
struct Elements {
  const T* x;
  Layout<1> kept, inner;
  uint32_t before;  // elements of each result that an earlier launch had

  __device__ const T* of(uint32_t k) const { return x + kept.offsets(k).of[0]; }
  __device__ void add(const Op& op, typename Op::State& state, const T* from, uint32_t i) const {
    op.add(state, from[inner.offsets(i).of[0]], before + i);
  }
};

// States of parts: state i of result k is states[i * results + k].
template <class Op>
struct Parts {
  using State = typename Op::State;
  const State* states;
  uint32_t results;

  __device__ const State* of(uint32_t k) const { return states + k; }
  __device__ void add(const Op& op, State& state, const State* from, uint32_t i) const {
    op.merge(state, from[size_t(i) * results]);
  }
};

// states: null where this launch ends the reduction, else where the states of its parts go.
template <class Op, class Source>
__global__ void run(Op op, Source source, Tiles tiles, typename Op::State* states) {
  using State = typename Op::State;
  __shared__ State shared[kBlock];
  const uint32_t per_block = kBlock / tiles.lanes, thread = threadIdx.x;
  const uint32_t lane = tiles.lanes_first ? thread % tiles.lanes : thread / per_block;
  const uint32_t k = blockIdx.x * per_block + (tiles.lanes_first ? thread / tiles.lanes : thread % per_block);
  State state = op.empty();
  if (k < tiles.results) {
    const auto from = source.of(k);
    const uint32_t end = min((blockIdx.y + 1) * tiles.part, tiles.count);
    for (uint32_t i = blockIdx.y * tiles.part + lane; i < end; i += tiles.lanes) source.add(op, state, from, i);
  }
  const uint32_t stride = tiles.lanes_first ? 1 : per_block;  // from a lane to the next
  shared[thread] = state;
  for (uint32_t half = tiles.lanes / 2; half > 0; half /= 2) {
    __syncthreads();
    if (lane < half) op.merge(shared[thread], shared[thread + half * stride]);
  }
  if (lane != 0 || k >= tiles.results) return;
  if (states)
    states[size_t(blockIdx.y) * tiles.results + k] = shared[thread];
  else
    op.store(k, shared[thread]);
}

template <class Op>
void merge_parts(CudaStream& stream, std::string_view name, const Op& op, const typename Op::State* states,
                 uint32_t results, uint32_t parts) {
  Tiles tiles = make_tiles(results, parts, false);
  tiles.parts = 1, tiles.part = parts;
  launch_blocks(stream, name, tiles.blocks(), run<Op, Parts<Op>>, op, Parts<Op>{states, results}, tiles,
                static_cast<typename Op::State*>(nullptr));
}

// Reduces the elements of a source, as they are cut into tiles.
template <class Op, class Source>
void reduce_source(CudaStream& stream, std::string_view name, const Op& op, const Source& source, const Tiles& tiles) {
  using State = typename Op::State;
  State* states = nullptr;
  if (tiles.parts > 1) {
    states = static_cast<State*>(stream.workspace(size_t(tiles.parts) * tiles.results * sizeof(State)));
  }
  launch_blocks(stream, name, tiles.blocks(), run<Op, Source>, op, source, tiles, states);
  if (states) merge_parts(stream, name, op, states, tiles.results, tiles.parts);
}

// x cut into dimensions that stay and dimensions that are reduced (size 1 in y).
struct Plan {
  Walk<1> kept, reduced;
  int64_t count;  // elements of a result

  Plan(const ConstView& x, const Shape& y) {
    Shape kept_sizes, kept_strides, reduced_sizes, reduced_strides;
    for (int i = 0; i < x.dims(); ++i) {
      const bool stays = y[i] != 1;
      (stays ? kept_sizes : reduced_sizes).push_back(x.shape[i]);
      (stays ? kept_strides : reduced_strides).push_back(x.strides[i]);
    }
    kept = make_walk<1>(kept_sizes, {kept_strides});
    // Of nothing at all where a size is 0.
    if (reduced_sizes.numel() > 0) reduced = make_walk<1>(reduced_sizes, {reduced_strides});
    count = reduced_sizes.numel();
  }
  bool lanes_first() const {
    const auto step = [](const Walk<1>& walk) { return walk.strides[0][size_t(walk.dims - 1)]; };
    return kept.dims == 0 || (reduced.dims > 0 && step(reduced) <= step(kept));
  }
};

}  // namespace reduction

// Calls op.store(k, state) for each element k of the contiguous y, with the state of the elements of x that it is of.
template <class T, class Op>
void reduce(CudaStream& stream, std::string_view name, const Op& op, const ConstView& x, const Shape& y) {
  using namespace reduction;
  using State = typename Op::State;
  const Plan plan(x, y);
  const int64_t results = y.numel();
  if (results == 0) return;
  if (!plan.kept.small() || plan.count > int64_t(UINT32_MAX)) {
    throw ShapeError(
        format("{}: on cuda the results of {} to {} lie too far apart, or have more than 2^32 elements each", name,
               x.shape.text(), y.text()),
        "reduce slices of it");
  }
  const auto elements = [&](const Walk<1>& part, int64_t before) {
    return Elements<Op, T>{x.as<T>() + plan.kept.start[0] + part.start[0], Layout<1>(plan.kept), Layout<1>(part),
                           uint32_t(before)};
  };
  const auto tiles_of = [&](const Walk<1>& part) {
    return make_tiles(uint32_t(results), plan.count == 0 ? 0 : uint32_t(part.numel()), plan.lanes_first());
  };
  if (plan.reduced.small()) return reduce_source(stream, name, op, elements(plan.reduced, 0), tiles_of(plan.reduced));
  int64_t parts = 0;
  plan.reduced.for_each_small([&](const Walk<1>& part) { parts += tiles_of(part).parts; });
  auto* const states = static_cast<State*>(stream.workspace(size_t(parts) * size_t(results) * sizeof(State)));
  State* next = states;
  int64_t before = 0;
  plan.reduced.for_each_small([&](const Walk<1>& part) {
    const Tiles tiles = tiles_of(part);
    launch_blocks(stream, name, tiles.blocks(), run<Op, Elements<Op, T>>, op, elements(part, before), tiles, next);
    next += size_t(tiles.parts) * size_t(results);
    before += part.numel();
  });
  merge_parts(stream, name, op, states, uint32_t(results), uint32_t(parts));
}

}  // namespace rstorch::kernels
