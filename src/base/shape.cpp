#include "base/shape.h"

#include <algorithm>

namespace rstorch {

Shape::Shape(std::span<const int64_t> sizes) {
  if (sizes.size() > kMaxDims) {
    throw ShapeError(format("a tensor has at most {} dimensions, got {}", kMaxDims, sizes.size()));
  }
  dims_ = int(sizes.size());
  std::copy(sizes.begin(), sizes.end(), sizes_.begin());
}

Shape Shape::filled(int dims, int64_t size) {
  Shape out;
  for (int i = 0; i < dims; ++i) out.push_back(size);
  return out;
}

int64_t Shape::numel() const {
  int64_t n = 1;
  for (const int64_t size : *this) n *= size;
  return n;
}

void Shape::push_back(int64_t size) { insert(dims_, size); }

void Shape::insert(int at, int64_t size) {
  if (dims_ == kMaxDims) throw ShapeError(format("a tensor has at most {} dimensions", kMaxDims));
  for (int i = dims_; i > at; --i) sizes_[size_t(i)] = sizes_[size_t(i - 1)];
  sizes_[size_t(at)] = size;
  ++dims_;
}

void Shape::erase(int at) {
  for (int i = at; i + 1 < dims_; ++i) sizes_[size_t(i)] = sizes_[size_t(i + 1)];
  --dims_;
}

bool Shape::operator==(const Shape& other) const { return std::equal(begin(), end(), other.begin(), other.end()); }

std::string Shape::text() const { return format("[{}]", join(begin(), end(), ", ")); }

Strides contiguous_strides(const Shape& shape) {
  Strides strides = shape;
  int64_t step = 1;
  for (int i = shape.dims() - 1; i >= 0; --i) {
    strides[i] = step;
    step *= std::max<int64_t>(shape[i], 1);
  }
  return strides;
}

bool is_contiguous(const Shape& shape, const Strides& strides) {
  int64_t step = 1;
  for (int i = shape.dims() - 1; i >= 0; --i) {
    if (shape[i] != 1 && strides[i] != step) return shape.numel() == 0;
    step *= shape[i];
  }
  return true;
}

Shape broadcast_shapes(const Shape& a, const Shape& b, std::string_view what) {
  Shape out = Shape::filled(std::max(a.dims(), b.dims()), 1);
  for (int i = 1; i <= out.dims(); ++i) {
    const int64_t x = i <= a.dims() ? a[a.dims() - i] : 1;
    const int64_t y = i <= b.dims() ? b[b.dims() - i] : 1;
    if (x != y && x != 1 && y != 1) {
      throw ShapeError(format("{}: shapes {} and {} do not broadcast: dimension {} from the end is {} and {}", what,
                              a.text(), b.text(), i, x, y),
                       "sizes must be equal, or one of them 1");
    }
    out[out.dims() - i] = x == 1 ? y : x;
  }
  return out;
}

}  // namespace rstorch
