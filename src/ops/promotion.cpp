#include "ops/promotion.h"

#include <algorithm>

namespace rstorch {
namespace {

int rank_of(DType dtype) {
  switch (dtype) {
    case DType::boolean:
      return 0;
    case DType::u8:
      return 1;
    case DType::i32:
      return 2;
    case DType::i64:
      return 3;
    case DType::f16:
    case DType::bf16:
      return 4;
    case DType::f32:
      return 5;
    case DType::f64:
      return 6;
  }
  throw InternalError("rank_of: unknown dtype");
}

int kind_of(DType dtype) { return is_floating(dtype) ? 2 : dtype == DType::boolean ? 0 : 1; }

DType dtype_of(const TensorOrNumber& x) {
  if (!x.is_number()) return x.tensor().dtype();
  return x.number().kind() == DType::f64 ? DType::f32 : x.number().kind();  // a Python float is of the default dtype
}

// Tensors with dimensions go before those without, and those before numbers.
int weight_of(const TensorOrNumber& x) { return x.is_number() ? 0 : x.tensor().dim() == 0 ? 1 : 2; }

}  // namespace

const Tensor& TensorOrNumber::tensor() const {
  static const Tensor none;
  return tensor_ ? *tensor_ : none;
}

DType promote_types(DType a, DType b) {
  if (a == b) return a;
  if (rank_of(a) == rank_of(b)) return DType::f32;  // f16 and bf16
  return rank_of(a) > rank_of(b) ? a : b;
}

DType result_type(const TensorOrNumber& a, const TensorOrNumber& b) {
  const DType first = dtype_of(a), second = dtype_of(b);
  if (first == second) return first;
  if (weight_of(a) == weight_of(b)) return promote_types(first, second);
  const auto [heavy, light] = weight_of(a) > weight_of(b) ? std::pair(first, second) : std::pair(second, first);
  return kind_of(light) > kind_of(heavy) ? promote_types(heavy, light) : heavy;
}

bool can_cast(DType from, DType to) { return kind_of(from) <= kind_of(to); }

}  // namespace rstorch
