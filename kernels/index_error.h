// What is wrong with an index outside [0, size): the same words whichever device found it.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/error.h"

namespace rstorch::kernels {

struct BadIndex {
  const char* op = nullptr;
  int64_t at = 0;  // number `at` of the indices
  int64_t index = 0;
  int64_t size = 0;
};

inline ArgumentError index_error(const BadIndex& bad) {
  return ArgumentError(format("{}: index {} is out of range for a dimension of size {}", bad.op, bad.index, bad.size),
                       "indices go from 0 to size - 1; they do not count from the end");
}
inline ArgumentError target_error(const BadIndex& bad) {
  return ArgumentError(
      format("{}: target {} is {}, wanted a class from 0 to {}", bad.op, bad.at, bad.index, bad.size - 1),
      "check the labels, or that the last layer has as many outputs as there are classes");
}

}  // namespace rstorch::kernels
