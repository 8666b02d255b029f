// A number of Python's kind: bool, integer or float. It takes part in type promotion by kind only (PyTorch's rule).
#pragma once

#include <concepts>
#include <cstdint>

#include "base/dtype.h"

namespace rstorch {

class Scalar {
 public:
  Scalar(bool x) : kind_(DType::boolean), integer_(x) {}                  // NOLINT: implicit
  template <std::integral T>
  Scalar(T x) : kind_(DType::i64), integer_(int64_t(x)) {}                // NOLINT: implicit
  template <std::floating_point T>
  Scalar(T x) : kind_(DType::f64), floating_(double(x)) {}                // NOLINT: implicit

  // boolean, i64 or f64
  DType kind() const { return kind_; }
  template <class T>
  T as() const {
    if constexpr (std::is_same_v<T, bf16> || std::is_same_v<T, f16>) {
      return T(as<float>());
    } else {
      return kind_ == DType::f64 ? T(floating_) : T(integer_);
    }
  }

 private:
  DType kind_;
  double floating_ = 0;
  int64_t integer_ = 0;
};

}  // namespace rstorch
