// What a kernel sees of a tensor: pointer, shape, strides, dtype. A View is written, a ConstView only read.
#pragma once

#include "base/dtype.h"
#include "base/shape.h"

namespace rstorch {

struct ConstView {
  const void* data = nullptr;
  Shape shape;
  Strides strides;  // in elements
  DType dtype = DType::f32;

  int dims() const { return shape.dims(); }
  int64_t numel() const { return shape.numel(); }
  int64_t size(int i) const { return shape[i < 0 ? i + shape.dims() : i]; }
  bool contiguous() const { return is_contiguous(shape, strides); }
  bool defined() const { return data != nullptr; }  // an optional argument that was left out has no data
  template <class T>
  const T* as() const {
    return static_cast<const T*>(data);
  }
};

struct View {
  void* data = nullptr;
  Shape shape;
  Strides strides;
  DType dtype = DType::f32;

  operator ConstView() const { return {data, shape, strides, dtype}; }  // NOLINT: implicit, as T* to const T*
  int dims() const { return shape.dims(); }
  int64_t numel() const { return shape.numel(); }
  int64_t size(int i) const { return shape[i < 0 ? i + shape.dims() : i]; }
  bool contiguous() const { return is_contiguous(shape, strides); }
  bool defined() const { return data != nullptr; }
  template <class T>
  T* as() const {
    return static_cast<T*>(data);
  }
};

}  // namespace rstorch
