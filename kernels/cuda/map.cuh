// The engine of all elementwise CUDA kernels: y[i] = f(x0[i], x1[i], ...).
//
// Operands without gaps are read and written 16 bytes at a time; others element by element, by the offsets of a Walk.
// Numbers and one-element operands take part in both ways.
#pragma once

#include <array>
#include <utility>

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/pack.cuh"
#include "kernels/cuda/walk.h"
#include "kernels/elementwise.h"

namespace rstorch::kernels {
namespace detail {

// An input on the device: an array, or one number for all elements.
template <class T>
struct Source {
  const T* data = nullptr;  // null: `number` is meant
  uint32_t step = 0;        // 0: element 0 is meant everywhere
  Compute<T> number{};
};

template <class T>
__device__ __forceinline__ Compute<T> load(const Source<T>& x, uint32_t at) {
  return x.data ? convert<Compute<T>>(x.data[at]) : x.number;
}
template <int V, class T>
__device__ __forceinline__ Pack<Compute<T>, V> load_pack(const Source<T>& x, uint32_t first) {
  if (x.data && x.step) return convert_pack<Compute<T>>(read_pack<V>(x.data + first));
  Pack<Compute<T>, V> out;
  const Compute<T> value = load(x, 0);
  for (int j = 0; j < V; ++j) out.values[j] = value;
  return out;
}

// V elements a thread; the last thread takes what is left one by one.
template <int V, class Y, class F, class... X>
__global__ void map_linear(F f, uint32_t count, Y* y, Source<X>... x) {
  const uint32_t first = (blockIdx.x * blockDim.x + threadIdx.x) * V;
  if (first + V <= count) {
    const auto apply = [&](const auto&... packs) {
      Pack<Y, V> out;
      for (int j = 0; j < V; ++j) out.values[j] = convert<Y>(f(packs.values[j]...));
      write_pack(y + first, out);
    };
    return apply(load_pack<V>(x, first)...);
  }
  for (uint32_t i = first; i < count; ++i) y[i] = convert<Y>(f(load(x, i * x.step)...));
}

template <class Y, class F, class... X, size_t... K>
__device__ __forceinline__ void map_at(const F& f, const typename Layout<1 + sizeof...(X)>::Offsets& offsets, Y* y,
                                       std::index_sequence<K...>, const Source<X>&... x) {
  y[offsets.of[0]] = convert<Y>(f(load(x, offsets.of[K + 1])...));
}
template <class Y, class F, class... X>
__global__ void map_strided(F f, Layout<1 + sizeof...(X)> layout, Y* y, Source<X>... x) {
  const uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < layout.count()) map_at(f, layout.offsets(i), y, std::index_sequence_for<X...>{}, x...);
}

inline void require_dtype(std::string_view name, DType got, DType wanted) {
  if (got != wanted) throw DTypeError(format("{}: an operand is {}, wanted {}", name, name_of(got), name_of(wanted)));
}
template <class T>
Source<T> source_of(std::string_view name, const Operand& x) {
  if (x.is_number) return {nullptr, 0, x.number.as<Compute<T>>()};
  require_dtype(name, x.view.dtype, dtype_of<T>());
  return {x.view.as<T>(), 1, {}};
}
inline Strides strides_of(const Operand& x, int dims) { return x.is_number ? Shape::filled(dims, 0) : x.view.strides; }

template <class Y, class... X, class F, size_t... K>
void map_walk(CudaStream& stream, std::string_view name, F f, const Walk<1 + sizeof...(X)>& walk, Y* y,
              std::index_sequence<K...>, Source<X>... x) {
  constexpr int V = int(16 / std::max({sizeof(Y), sizeof(X)...}));
  const auto count = uint32_t(walk.numel());
  y += walk.start[0];
  ((x.data = x.data ? x.data + walk.start[K + 1] : nullptr), ...);
  ((x.step = walk.constant(K + 1) ? 0 : 1), ...);
  if (walk.linear() && aligned(y, V * sizeof(Y)) && ((x.step == 0 || aligned(x.data, V * sizeof(X))) && ...)) {
    launch(stream, name, (count + V - 1) / V, map_linear<V, Y, F, X...>, f, count, y, x...);
  } else {
    launch(stream, name, count, map_strided<Y, F, X...>, f, Layout<1 + sizeof...(X)>(walk), y, x...);
  }
}

template <class Y, class... X, class F, size_t... K>
void map(CudaStream& stream, std::string_view name, F f, const View& y, const std::array<Operand, sizeof...(X)>& x,
         std::index_sequence<K...> inputs) {
  require_dtype(name, y.dtype, dtype_of<Y>());
  if (y.numel() == 0) return;
  const auto walk = make_walk<1 + sizeof...(X)>(y.shape, {y.strides, strides_of(x[K], y.dims())...});
  walk.for_each_small([&](const auto& part) {
    map_walk<Y, X...>(stream, name, f, part, y.as<Y>(), inputs, source_of<X>(name, x[K])...);
  });
}

}  // namespace detail

// y = f(x...). Y and X... are the types in memory; f takes and gives what they are computed in. `name` is for errors.
template <class Y, class... X, class F>
void map(CudaStream& stream, std::string_view name, F f, const View& y, const std::array<Operand, sizeof...(X)>& x) {
  detail::map<Y, X...>(stream, name, f, y, x, std::index_sequence_for<X...>{});
}

}  // namespace rstorch::kernels
