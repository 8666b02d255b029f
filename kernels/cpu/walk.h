// Walking over views of any strides, in row-major order.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "base/shape.h"

namespace rstorch::kernels {

using Index = std::array<int64_t, kMaxDims>;

// A box of index tuples. A view walks along with it by its own strides, in bytes.
struct Box {
  int dims = 0;
  Index sizes{};

  int inner() const { return dims - 1; }
  int64_t numel() const {
    int64_t n = 1;
    for (int i = 0; i < dims; ++i) n *= sizes[size_t(i)];
    return n;
  }
  Index at(int64_t linear) const {
    Index index{};
    for (int i = dims - 1; i > 0; --i) {
      index[size_t(i)] = linear % sizes[size_t(i)];
      linear /= sizes[size_t(i)];
    }
    index[0] = linear;
    return index;
  }
  // Moves `index` on by n elements.
  void advance(Index& index, int64_t n) const {
    for (int i = dims - 1; i > 0; --i) {
      index[size_t(i)] += n;
      if (index[size_t(i)] < sizes[size_t(i)]) return;
      n = index[size_t(i)] / sizes[size_t(i)];
      index[size_t(i)] %= sizes[size_t(i)];
    }
    index[0] += n;
  }
  // How many elements are left in the innermost row.
  int64_t left_in_row(const Index& index) const { return sizes[size_t(inner())] - index[size_t(inner())]; }
  int64_t offset(const Index& index, const Index& strides) const {
    int64_t bytes = 0;
    for (int i = 0; i < dims; ++i) bytes += index[size_t(i)] * strides[size_t(i)];
    return bytes;
  }
  // Calls f(index, count) for the pieces of rows that make up n elements from `index` on.
  template <class F>
  void for_each_run(Index index, int64_t n, F f) const {
    while (n > 0) {
      const int64_t count = std::min(n, left_in_row(index));
      f(index, count);
      advance(index, count);
      n -= count;
    }
  }
};

}  // namespace rstorch::kernels
