#include "base/utf8.h"

#include "base/format.h"

namespace rstorch {
namespace {

bool is_control(char byte) {
  const auto c = static_cast<unsigned char>(byte);
  return (c < 0x20 && c != '\n' && c != '\r' && c != '\t') || c == 0x7F;
}

}  // namespace

size_t utf8_length(std::string_view text, size_t i) {
  const auto byte = [&](size_t k) { return k < text.size() ? static_cast<unsigned char>(text[k]) : 0u; };
  const unsigned first = byte(i);
  if (first < 0x80) return 1;
  const size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4) return 0;
  for (size_t k = 1; k < length; ++k) {
    if ((byte(i + k) & 0xC0) != 0x80) return 0;
  }
  const unsigned second = byte(i + 1);
  const bool overlong = (first == 0xE0 && second < 0xA0) || (first == 0xF0 && second < 0x90);
  const bool outside = (first == 0xED && second > 0x9F) || (first == 0xF4 && second > 0x8F);
  return overlong || outside ? 0 : length;
}

std::optional<size_t> find_bad_byte(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const size_t length = utf8_length(text, i);
    if (length == 0 || is_control(text[i])) return i;
    i += length;
  }
  return std::nullopt;
}

std::string describe_bad_byte(char byte) {
  const auto c = static_cast<unsigned char>(byte);
  if (c == 0) return "a NUL byte";
  return is_control(byte) ? format("the control character 0x{:02X}", c)
                          : format("the byte 0x{:02X}, which is not UTF-8", c);
}

std::string printable(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    const size_t length = utf8_length(text, i);
    const bool good = length > 0 && !is_control(text[i]);
    out += good ? text.substr(i, length) : "?";
    i += good ? length : 1;
  }
  return out;
}

}  // namespace rstorch
