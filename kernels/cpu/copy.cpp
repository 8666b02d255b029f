#include "kernels/copy.h"

#include <cstring>

#include "kernels/cpu/convert.h"
#include "kernels/cpu/map.h"

namespace rstorch::kernels {
namespace {

void copy_cpu(CpuStream&, ConstView x, View y) {
  const Operand operand = x;
  const DType type = y.dtype;
  map_blocks(y, type, {&operand, 1}, {&type, 1}, kGrain, [type](void* out, const void* const* in, int64_t n) {
    std::memcpy(out, in[0], size_t(n) * size_of(type));
  });
}

void fill_cpu(CpuStream&, View y, Scalar value) {
  const Operand operand = value;
  const DType type = y.dtype;
  map_blocks(y, type, {&operand, 1}, {&type, 1}, kGrain, [type](void* out, const void* const* in, int64_t n) {
    std::memcpy(out, in[0], size_t(n) * size_of(type));
  });
}

}  // namespace

Kernel<ConstView, View> copy{"copy", copy_cpu};
Kernel<View, Scalar> fill{"fill", fill_cpu};

}  // namespace rstorch::kernels
