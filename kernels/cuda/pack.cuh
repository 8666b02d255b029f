// Elements that a thread reads and writes in one access.
#pragma once

#include <cstddef>
#include <cstdint>

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

}  // namespace rstorch::kernels
