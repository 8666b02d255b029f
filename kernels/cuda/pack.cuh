// Neighbouring elements that a thread reads or writes at once: 16 bytes are the most that a GPU moves in one access.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/element.h"

namespace rstorch::kernels {

template <class T, int V>
struct alignas(sizeof(T) * V) Pack {
  T values[V];
};

// How many elements fill the widest access.
template <class T>
inline constexpr int kPack = int(16 / sizeof(T));

// `data` is aligned to V elements.
template <int V, class T>
__device__ __forceinline__ Pack<T, V> read_pack(const T* data) {
  return *reinterpret_cast<const Pack<T, V>*>(data);
}
template <class T, int V>
__device__ __forceinline__ void write_pack(T* data, const Pack<T, V>& pack) {
  *reinterpret_cast<Pack<T, V>*>(data) = pack;
}
template <class To, class From, int V>
__device__ __forceinline__ Pack<To, V> convert_pack(const Pack<From, V>& from) {
  Pack<To, V> to;
  for (int j = 0; j < V; ++j) to.values[j] = convert<To>(from.values[j]);
  return to;
}

inline bool aligned(const void* data, size_t bytes) { return reinterpret_cast<uintptr_t>(data) % bytes == 0; }

// The widest access that `bytes` and all addresses are multiples of, as a type: f.operator()<Unit>().
template <class F, class... Data>
void with_unit(size_t bytes, const F& f, const Data*... data) {
  const auto fits = [&](size_t unit) { return bytes % unit == 0 && (aligned(data, unit) && ...); };
  if (fits(16)) return f.template operator()<Pack<uint64_t, 2>>();
  if (fits(8)) return f.template operator()<uint64_t>();
  if (fits(4)) return f.template operator()<uint32_t>();
  if (fits(2)) return f.template operator()<uint16_t>();
  f.template operator()<uint8_t>();
}

}  // namespace rstorch::kernels
