// Sizes and strides of a tensor: up to 8 numbers, held inline.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"

namespace rstorch {

inline constexpr int kMaxDims = 8;

class Shape {
 public:
  constexpr Shape() = default;
  Shape(std::initializer_list<int64_t> sizes) : Shape(std::span(sizes.begin(), sizes.size())) {}
  Shape(const std::vector<int64_t>& sizes) : Shape(std::span(sizes)) {}  // NOLINT: implicit
  // Throws ShapeError for more than kMaxDims dimensions.
  explicit Shape(std::span<const int64_t> sizes);
  // `dims` sizes, each `size`.
  static Shape filled(int dims, int64_t size);

  int dims() const { return dims_; }
  bool empty() const { return dims_ == 0; }
  int64_t operator[](int i) const { return sizes_[size_t(i)]; }
  int64_t& operator[](int i) { return sizes_[size_t(i)]; }
  int64_t back() const { return sizes_[size_t(dims_ - 1)]; }
  const int64_t* begin() const { return sizes_.data(); }
  const int64_t* end() const { return sizes_.data() + dims_; }
  const int64_t* data() const { return sizes_.data(); }

  // Number of elements: the product of the sizes, 1 for no dimensions.
  int64_t numel() const;
  void push_back(int64_t size);
  void insert(int at, int64_t size);
  void erase(int at);
  // The sizes [first, last).
  Shape slice(int first, int last) const { return Shape(std::span(begin() + first, size_t(last - first))); }
  std::vector<int64_t> vector() const { return {begin(), end()}; }
  bool operator==(const Shape& other) const;
  // "[2, 3]"
  std::string text() const;

 private:
  int dims_ = 0;
  std::array<int64_t, kMaxDims> sizes_{};
};

using Strides = Shape;  // in elements

// Row-major strides of a contiguous tensor.
Strides contiguous_strides(const Shape& shape);
// True if the elements lie row-major without gaps. Dimensions of size 1 may have any stride.
bool is_contiguous(const Shape& shape, const Strides& strides);
// The shape that both broadcast to (NumPy's rule). Throws ShapeError naming `what` if they do not.
Shape broadcast_shapes(const Shape& a, const Shape& b, std::string_view what);

}  // namespace rstorch
