#include "ops/autocast.h"

#include "base/error.h"
#include "ops/ops.h"

namespace rstorch {
namespace {

thread_local DType lower_dtype = DType::f32;  // f32: no autocast

bool is_eligible(DType dtype, Device device) {
  return lower_dtype != DType::f32 && device.is_cuda() && is_floating(dtype) && dtype != DType::f64;
}
bool is_eligible(const Tensor& x) { return x.defined() && is_eligible(x.dtype(), x.device()); }

}  // namespace

Autocast::Autocast(DType lower) : previous_(lower_dtype) {
  if (lower != DType::bf16 && lower != DType::f16 && lower != DType::f32) {
    throw ArgumentError(format("autocast: {} is no lower precision", name_of(lower)), "use bf16 or f16");
  }
  lower_dtype = lower;
}

Autocast::~Autocast() { lower_dtype = previous_; }

Tensor in_lower_precision(const Tensor& x) { return is_eligible(x) ? to(x, lower_dtype) : x; }

Tensor in_full_precision(const Tensor& x) { return is_eligible(x) ? to(x, DType::f32) : x; }

DType full_precision_of(DType dtype, Device device) { return is_eligible(dtype, device) ? DType::f32 : dtype; }

}  // namespace rstorch
