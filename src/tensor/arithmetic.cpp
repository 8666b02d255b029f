#include "tensor/arithmetic.h"

#include "kernels/copy.h"
#include "kernels/elementwise.h"
#include "tensor/runtime.h"

namespace rstorch {

const Tensor& add_into(const Tensor& into, const Tensor& x) {
  kernels::add(current_stream(into.device()), into.view(), x.view(), into.mutable_view());
  into.impl()->storage->bump_version();
  return into;
}

Tensor add_new(const Tensor& a, const Tensor& b) {
  Tensor sum = empty_like(a);
  kernels::add(current_stream(a.device()), a.view(), b.view(), sum.mutable_view());
  return sum;
}

void copy_into(const Tensor& into, const Tensor& x) {
  kernels::copy(current_stream(into.device()), x.view(), into.mutable_view());
  into.impl()->storage->bump_version();
}

Tensor copy_new(const Tensor& x) {
  Tensor y = empty_like(x);
  copy_into(y, x);
  return y;
}

}  // namespace rstorch
