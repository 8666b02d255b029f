#include "kernels/cpu/map.h"

namespace rstorch::kernels {
namespace {

template <class T>
void map_where(const Operand& condition, const Operand& a, const Operand& b, const View& y) {
  map<T, bool, T, T>(y, {condition, a, b}, kGrain, [](bool take_a, T x0, T x1) { return take_a ? x0 : x1; });
}

void where_cpu(CpuStream&, ConstView condition, Operand a, Operand b, View y) {
  dispatch(AllTypes{}, y.dtype, "where", [&]<class T>(Type<T>) { map_where<Compute<T>>(condition, a, b, y); });
}

}  // namespace

Kernel<ConstView, Operand, Operand, View> where{"where", where_cpu};

}  // namespace rstorch::kernels
