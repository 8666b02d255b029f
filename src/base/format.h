// Text formatting: format("{} of {}", a, b). One place, so that a move to std::format touches one file.
#pragma once

#include <fmt/format.h>

namespace rstorch {

using fmt::format;
using fmt::join;

}  // namespace rstorch
