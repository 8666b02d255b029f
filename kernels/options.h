// Choices that kernels and the ops above them share.
#pragma once

#include <cstdint>

namespace rstorch {

// What a kernel applies to its result before it is written.
enum class Activation : uint8_t { none, relu, gelu_tanh };

// How a loss goes from one value per element to its result.
enum class Reduction : uint8_t { none, mean, sum };

}  // namespace rstorch
