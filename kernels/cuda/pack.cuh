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

}  // namespace rstorch::kernels
