// Arguments that PyTorch spells in two ways: a number or a pair, a number or a list, padding as numbers or a word.
#pragma once

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string_view>
#include <vector>

#include "config/fields.h"
#include "ops/ops.h"

namespace rstorch::nn {

// Windows, strides and margins along the axes of an image: from `least` to what cannot overflow.
inline auto pixels(int64_t least) { return config::each(config::in_range(least, 1 << 20)); }

// Height and width: `3` is {3, 3}.
struct Size2 {
  Pair hw = {0, 0};
  Size2() = default;
  Size2(int64_t both) : hw{both, both} {}  // NOLINT: implicit
  Size2(int64_t height, int64_t width) : hw{height, width} {}
  Size2(const Pair& pair) : hw(pair) {}  // NOLINT: implicit
  operator Pair() const { return hw; }   // NOLINT: implicit
};

// One or more sizes: `64` is [64].
struct Sizes {
  std::vector<int64_t> values;
  Sizes() = default;
  Sizes(int64_t one) : values{one} {}  // NOLINT: implicit
  Sizes(std::initializer_list<int64_t> sizes) : values(sizes) {}
};

// Zeros around an image: per side, or as many as keep the size (`same`, stride 1 only), or none (`valid`).
struct Padding {
  enum class Mode { numbers, same, valid };
  Mode mode = Mode::numbers;
  Size2 size;
  Padding() = default;
  Padding(std::integral auto both) : size(int64_t(both)) {}  // NOLINT: implicit
  Padding(int64_t height, int64_t width) : size(height, width) {}
  Padding(const char* word) : Padding(std::string_view(word)) {}  // NOLINT: implicit
  explicit Padding(std::string_view word);                        // throws ArgumentError but for "same", "valid"
};

// The value of an argument that a config may leave out and a constructor needs. Throws ArgumentError where it is not
// set.
template <class T>
const T& stated(std::string_view layer, std::string_view argument, const std::optional<T>& value) {
  if (!value) throw ArgumentError(format("{}: {} is needed", layer, argument), "only a config can leave it out");
  return *value;
}

}  // namespace rstorch::nn

namespace rstorch::config {

template <>
struct Codec<nn::Size2> {
  static void read(const Value& v, nn::Size2& out, Context& c) { Codec<Pair>::read(v, out.hw, c); }
  static Value write(const nn::Size2& x) { return Codec<Pair>::write(x.hw); }
  static Type type() { return Codec<Pair>::type(); }
};

template <>
struct Codec<nn::Sizes> {
  static void read(const Value& v, nn::Sizes& out, Context& c);
  static Value write(const nn::Sizes& x) { return Codec<std::vector<int64_t>>::write(x.values); }
  static Type type() { return Codec<std::vector<int64_t>>::type(); }
};

template <>
struct Codec<nn::Padding> {
  static void read(const Value& v, nn::Padding& out, Context& c);
  static Value write(const nn::Padding& x);
  static Type type();
};

}  // namespace rstorch::config
