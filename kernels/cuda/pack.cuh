// Elements that a thread reads and writes in one access.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/element.h"

namespace rstorch::kernels {

template <class T, int V>
struct alignas(sizeof(T) * V) Pack {
  T values[V];
};

// How many elements fill the largest access, 16 bytes.
template <class T>
inline constexpr int kPack = int(16 / sizeof(T));

template <class T>
bool aligned(const T* data, size_t bytes) {
  return reinterpret_cast<uintptr_t>(data) % bytes == 0;
}

// V elements from `from` on, as what they are computed in.
template <int V, class T>
__device__ __forceinline__ Pack<Compute<T>, V> load_pack(const T* from) {
  const auto pack = *reinterpret_cast<const Pack<T, V>*>(from);
  Pack<Compute<T>, V> out;
  for (int j = 0; j < V; ++j) out.values[j] = convert<Compute<T>>(pack.values[j]);
  return out;
}
template <int V, class T>
__device__ __forceinline__ void store_pack(T* to, const Pack<Compute<T>, V>& values) {
  Pack<T, V> pack;
  for (int j = 0; j < V; ++j) pack.values[j] = convert<T>(values.values[j]);
  *reinterpret_cast<Pack<T, V>*>(to) = pack;
}

}  // namespace rstorch::kernels
