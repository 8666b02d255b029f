// Index arithmetic of elementwise kernels: where element i of each operand lies.
//
// The host cuts a call into walks whose offsets fit 32 bits, over as few dimensions as the strides allow; the device
// divides by multiplying. Plain C++, so that it is tested without a GPU.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>

#include "base/hd.h"
#include "base/shape.h"

namespace rstorch::kernels {

// n / d and n % d for n < 2^31 and 1 <= d <= 2^31, without a division (Granlund & Montgomery 1994).
class Divider {
 public:
  Divider() = default;
  explicit Divider(uint32_t d) : d_(d), shift_(uint32_t(std::bit_width(d - 1))) {
    factor_ = uint32_t((((uint64_t(1) << shift_) - d) << 32) / d + 1);
  }

  RST_HD uint32_t divisor() const { return d_; }

  struct Result {
    uint32_t quotient, remainder;
  };
  RST_HD Result divide(uint32_t n) const {
    const uint32_t quotient = (uint32_t((uint64_t(n) * factor_) >> 32) + n) >> shift_;
    return {quotient, n - quotient * d_};
  }

 private:
  uint32_t d_ = 1, factor_ = 1, shift_ = 0;
};

// A box of elements, and how each of N operands lies in it. Offsets and strides in elements.
template <int N>
struct Walk {
  int dims = 0;
  std::array<int64_t, kMaxDims> sizes{};  // the outermost first; none is 1
  std::array<std::array<int64_t, kMaxDims>, N> strides{};
  std::array<int64_t, N> start{};

  int64_t numel() const {
    int64_t n = 1;
    for (int i = 0; i < dims; ++i) n *= sizes[size_t(i)];
    return n;
  }
  // All elements of this operand are the one at `start`.
  bool constant(size_t operand) const {
    return std::all_of(strides[operand].begin(), strides[operand].begin() + dims, [](int64_t s) { return s == 0; });
  }
  // Every operand lies without gaps or is constant, so that index and offset are one.
  bool linear() const {
    if (dims > 1) return false;
    return std::all_of(strides.begin(), strides.end(),
                       [&](const auto& s) { return dims == 0 || s[0] == 0 || s[0] == 1; });
  }
  // Counts and offsets are below 2^30, so that 32 bits hold them with room for a grid's last block.
  bool small() const {
    constexpr int64_t limit = int64_t(1) << 30;
    if (numel() > limit) return false;
    return std::all_of(strides.begin(), strides.end(), [&](const auto& s) {
      int64_t last = 0;
      for (size_t i = 0; i < size_t(dims); ++i) last += (sizes[i] - 1) * s[i];
      return last < limit;
    });
  }
  // Calls f(walk) for small walks that make up this one.
  template <class F>
  void for_each_small(F f) const {
    if (small()) return f(*this);
    const size_t cut = farthest();
    Walk low = *this, high = *this;
    low.sizes[cut] = sizes[cut] / 2;
    high.sizes[cut] = sizes[cut] - low.sizes[cut];
    for (size_t k = 0; k < N; ++k) high.start[k] += low.sizes[cut] * strides[k][cut];
    low.for_each_small(f);
    high.for_each_small(f);
  }

 private:
  // The dimension along which an operand reaches farthest.
  size_t farthest() const {
    size_t out = 0;
    int64_t most = 0;
    for (size_t i = 0; i < size_t(dims); ++i) {
      for (const auto& s : strides) {
        const int64_t reach = (sizes[i] - 1) * std::max<int64_t>(s[i], 1);
        if (reach > most) most = reach, out = i;
      }
    }
    return out;
  }
};

// The walk over `shape` with these strides, dimensions joined where all operands allow it.
template <int N>
Walk<N> make_walk(const Shape& shape, const std::array<Strides, N>& strides) {
  Walk<N> walk;
  for (int i = 0; i < shape.dims(); ++i) {
    if (shape[i] == 1) continue;
    const size_t inner = size_t(walk.dims - 1);
    bool joins = walk.dims > 0;
    for (size_t k = 0; joins && k < N; ++k) joins = walk.strides[k][inner] == strides[k][i] * shape[i];
    const size_t at = joins ? inner : size_t(walk.dims++);
    walk.sizes[at] = joins ? walk.sizes[inner] * shape[i] : shape[i];
    for (size_t k = 0; k < N; ++k) walk.strides[k][at] = strides[k][i];
  }
  return walk;
}

// A small walk, as a kernel takes it.
template <int N>
class Layout {
 public:
  explicit Layout(const Walk<N>& walk) : count_(uint32_t(walk.numel())), dims_(walk.dims) {
    for (size_t i = 0; i < size_t(dims_); ++i) {
      sizes_[i] = Divider(uint32_t(walk.sizes[i]));
      for (size_t k = 0; k < N; ++k) strides_[i][k] = uint32_t(walk.strides[k][i]);
    }
  }

  struct Offsets {
    uint32_t of[N];
  };
  RST_HD uint32_t count() const { return count_; }
  RST_HD Offsets offsets(uint32_t index) const {
    Offsets offsets{};
    for (int i = dims_ - 1; i > 0; --i) {
      const Divider::Result at = sizes_[i].divide(index);
      index = at.quotient;
      for (int k = 0; k < N; ++k) offsets.of[k] += at.remainder * strides_[i][k];
    }
    for (int k = 0; k < N; ++k) offsets.of[k] += index * strides_[0][k];
    return offsets;
  }

 private:
  uint32_t count_;
  int dims_;
  Divider sizes_[kMaxDims];
  uint32_t strides_[kMaxDims][N] = {};
};

}  // namespace rstorch::kernels
