// Text formatting: format("{} of {}", a, b). One place, so that a move to std::format touches one file.
#pragma once

#include <string>
#include <string_view>

#include <fmt/core.h>  // the light part: every file pays for it

namespace rstorch {

using fmt::format;

// "1, 2, 3"
template <class Iterator>
std::string join(Iterator first, Iterator last, std::string_view separator) {
  std::string out;
  for (Iterator it = first; it != last; ++it) {
    if (it != first) out += separator;
    out += format("{}", *it);
  }
  return out;
}
template <class Range>
std::string join(const Range& range, std::string_view separator) {
  return join(std::begin(range), std::end(range), separator);
}

}  // namespace rstorch
