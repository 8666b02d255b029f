#include "kernels/cpu/map.h"

namespace rstorch::kernels {
namespace {

template <class T>
void map_where(const Operand& condition, const Operand& a, const Operand& b, const View& y) {
  map<T, uint8_t, T, T>(y, {condition, a, b}, kGrain, [](uint8_t take_a, T x0, T x1) { return take_a != 0 ? x0 : x1; });
}

void where_cpu(CpuStream&, ConstView condition, Operand a, Operand b, View y) {
  condition.dtype = DType::u8;  // the same bytes, but a loop over bool does not vectorise
  dispatch(AllTypes{}, y.dtype, "where", [&]<class T>(Type<T>) { map_where<Compute<T>>(condition, a, b, y); });
}

}  // namespace

Kernel<ConstView, Operand, Operand, View> where{"where", where_cpu};

}  // namespace rstorch::kernels
