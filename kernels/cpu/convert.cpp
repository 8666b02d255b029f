#include "kernels/cpu/convert.h"

#include <array>
#include <cstring>

#include "kernels/cpu/simd.h"

namespace rstorch::kernels {
namespace {

// bool is read as the byte that it is: a loop over bool does not vectorise.
template <class T>
using Readable = std::conditional_t<std::is_same_v<T, bool>, uint8_t, T>;

template <class Stored, class To>
void run(const void* src, int64_t src_stride, void* dst, int64_t dst_stride, int64_t n) {
  using From = Readable<Stored>;
  const From* const x = static_cast<const From*>(src);
  To* const y = static_cast<To*>(dst);
  if (src_stride == 1 && dst_stride == 1) {
    if constexpr (std::is_same_v<Stored, To>) {
      std::memcpy(y, x, size_t(n) * sizeof(To));
    } else {
      vectorised([=] {
#pragma GCC ivdep
        for (int64_t i = 0; i < n; ++i) y[i] = convert<To>(x[i]);
      });
    }
    return;
  }
  if (src_stride == 0 && dst_stride == 1) {
    const To value = convert<To>(*x);
    vectorised([=] {
      for (int64_t i = 0; i < n; ++i) y[i] = value;
    });
    return;
  }
  for (int64_t i = 0; i < n; ++i) y[i * dst_stride] = convert<To>(x[i * src_stride]);
}

constexpr size_t kTypes = 8;

// table[from][to]
template <class... Ts>
constexpr auto make_table(TypeList<Ts...>) {
  std::array<std::array<ConvertRun, kTypes>, kTypes> table{};
  const auto fill_row = [&]<class From>(Type<From>) {
    ((table[size_t(dtype_of<From>())][size_t(dtype_of<Ts>())] = run<From, Ts>), ...);
  };
  (fill_row(Type<Ts>{}), ...);
  return table;
}

constexpr auto table = make_table(AllTypes{});

}  // namespace

ConvertRun convert_run(DType from, DType to) { return table[size_t(from)][size_t(to)]; }

Element element_of(Scalar number, DType dtype) {
  Element element{};
  dispatch(AllTypes{}, dtype, "number", [&](auto type) {
    const auto value = number.as<typename decltype(type)::type>();
    std::memcpy(element.bytes, &value, sizeof(value));
  });
  return element;
}

}  // namespace rstorch::kernels
