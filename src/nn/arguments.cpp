#include "nn/arguments.h"

#include <array>

namespace rstorch::nn {

Padding::Padding(std::string_view word) : mode(word == "same" ? Mode::same : Mode::valid) {
  if (word != "same" && word != "valid") {
    throw ArgumentError(format("padding is `{}`, wanted a number, a pair, same or valid", word));
  }
}

}  // namespace rstorch::nn

namespace rstorch::config {

void Codec<nn::Sizes>::read(const Value& v, nn::Sizes& out, Context& c) {
  if (!v.is_scalar() || v.is_null()) return Codec<std::vector<int64_t>>::read(v, out.values, c);
  int64_t one = 0;
  Codec<int64_t>::read(v, one, c);
  out.values = {one};
}

void Codec<nn::Padding>::read(const Value& v, nn::Padding& out, Context& c) {
  static constexpr std::array<std::string_view, 2> words = {"same", "valid"};
  if (!v.is_string()) {
    out.mode = nn::Padding::Mode::numbers;
    return Codec<nn::Size2>::read(v, out.size, c);
  }
  const int choice = detail::read_choice(v, words, c);
  if (choice >= 0) out = nn::Padding(words[size_t(choice)]);
}

Value Codec<nn::Padding>::write(const nn::Padding& x) {
  switch (x.mode) {
    case nn::Padding::Mode::same:
      return "same";
    case nn::Padding::Mode::valid:
      return "valid";
    case nn::Padding::Mode::numbers:
      break;
  }
  return Codec<nn::Size2>::write(x.size);
}

Type Codec<nn::Padding>::type() { return {.kind = Type::Kind::any}; }

}  // namespace rstorch::config
