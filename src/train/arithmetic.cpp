#include "train/arithmetic.h"

#include "ops/autocast.h"
#include "tensor/runtime.h"

namespace rstorch {

Arithmetic::Arithmetic(Precision precision, Device device) {
  if (!device.is_cuda()) return;
  if (precision == Precision::bf16) lower_ = DType::bf16;
  if (precision == Precision::fp16) lower_ = DType::f16;
  current_stream(device).allow_tf32(precision == Precision::tf32);
}

Tensor Arithmetic::run(nn::Module& model, const Tensor& x) const {
  if (lower_ == DType::f32) return model(x);
  const Autocast autocast(lower_);
  return in_full_precision(model(x));
}

}  // namespace rstorch
