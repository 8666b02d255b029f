// Element types, and how run-time types become template arguments.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>
#include <utility>

#include "base/error.h"
#include "base/half.h"

namespace rstorch {

enum class DType : uint8_t { f32, f64, bf16, f16, i64, i32, u8, boolean };

inline constexpr DType kFloat32 = DType::f32, kFloat64 = DType::f64, kBFloat16 = DType::bf16, kFloat16 = DType::f16,
                       kInt64 = DType::i64, kInt32 = DType::i32, kUInt8 = DType::u8, kBool = DType::boolean;

constexpr size_t size_of(DType dtype) {
  constexpr size_t sizes[] = {4, 8, 2, 2, 8, 4, 1, 1};
  return sizes[size_t(dtype)];
}
// The name that configs and errors use: "f32", ..., "bool".
constexpr std::string_view name_of(DType dtype) {
  constexpr std::string_view names[] = {"f32", "f64", "bf16", "f16", "i64", "i32", "u8", "bool"};
  return names[size_t(dtype)];
}
constexpr bool is_floating(DType dtype) { return dtype <= DType::f16; }
constexpr bool is_integral(DType dtype) { return dtype >= DType::i64 && dtype != DType::boolean; }

// A type as a value, so that a lambda can receive one: [&](auto type) { using T = typename decltype(type)::type; ... }
template <class T>
struct Type {
  using type = T;
};

template <class T>
constexpr DType dtype_of() {
  if constexpr (std::is_same_v<T, float>) return DType::f32;
  else if constexpr (std::is_same_v<T, double>) return DType::f64;
  else if constexpr (std::is_same_v<T, bf16>) return DType::bf16;
  else if constexpr (std::is_same_v<T, f16>) return DType::f16;
  else if constexpr (std::is_same_v<T, int64_t>) return DType::i64;
  else if constexpr (std::is_same_v<T, int32_t>) return DType::i32;
  else if constexpr (std::is_same_v<T, uint8_t>) return DType::u8;
  else if constexpr (std::is_same_v<T, bool>) return DType::boolean;
  else static_assert(!sizeof(T), "no DType for this type");
}

// A set of element types that a kernel is compiled for.
template <class... Ts>
struct TypeList {};
using FullFloats = TypeList<float, double>;
using Floats = TypeList<float, double, bf16, f16>;
using Integers = TypeList<int64_t, int32_t, uint8_t>;
using Numbers = TypeList<float, double, int64_t, int32_t, uint8_t>;                     // that arithmetic is defined on
using AllNumbers = TypeList<float, double, bf16, f16, int64_t, int32_t, uint8_t>;
using AllTypes = TypeList<float, double, bf16, f16, int64_t, int32_t, uint8_t, bool>;

// Out of line, so that the many instances of dispatch() stay small.
[[noreturn, gnu::noinline, gnu::cold]] inline void throw_no_kernel(std::string_view what, DType dtype) {
  throw DTypeError(format("{}: no kernel for dtype {}", what, name_of(dtype)));
}

// Calls f(Type<T>{}) for the T of the list that has this dtype. Throws DTypeError, naming `what`, if there is none.
template <class... Ts, class F>
void dispatch(TypeList<Ts...>, DType dtype, std::string_view what, F&& f) {
  const bool found = ((dtype == dtype_of<Ts>() ? (f(Type<Ts>{}), true) : false) || ...);
  if (!found) throw_no_kernel(what, dtype);
}

}  // namespace rstorch
