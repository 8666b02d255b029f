// Telling text from other bytes.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace rstorch {

// The length of the UTF-8 sequence at `i`, 0 where it is none (overlong forms and surrogates are none).
size_t utf8_length(std::string_view text, size_t i);
// The first byte that no text has: not UTF-8, or a control character that is no tab or line end.
std::optional<size_t> find_bad_byte(std::string_view text);
// "a NUL byte", "the control character 0x1B", "the byte 0xE9, which is not UTF-8"
std::string describe_bad_byte(char byte);
// One `?` for each bad byte, so that errors can show the rest.
std::string printable(std::string_view text);

}  // namespace rstorch
