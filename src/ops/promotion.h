// Type promotion, exactly PyTorch's.
#pragma once

#include "tensor/tensor.h"

namespace rstorch {

// An argument of an elementwise op: a tensor or a number. Refers to the tensor.
class TensorOrNumber {
 public:
  TensorOrNumber(const Tensor& tensor) : tensor_(&tensor) {}  // NOLINT: implicit
  TensorOrNumber(Scalar number) : number_(number) {}          // NOLINT: implicit

  bool is_number() const { return tensor_ == nullptr; }
  // The tensor; an undefined one for a number.
  const Tensor& tensor() const;
  Scalar number() const { return number_; }

 private:
  const Tensor* tensor_ = nullptr;
  Scalar number_ = 0;
};

// The smallest dtype that holds both: bool < u8 < i32 < i64 < f16, bf16 < f32 < f64; f16 and bf16 make f32.
DType promote_types(DType a, DType b);
// The dtype of a result. Tensors of no dimensions and numbers decide only where their kind (bool, integer, floating) is
// higher.
DType result_type(const TensorOrNumber& a, const TensorOrNumber& b);
// Whether a result of dtype `from` may be written to a tensor of dtype `to` in place: not to a lower kind.
bool can_cast(DType from, DType to);

}  // namespace rstorch
