// The version of rstorch. meson.build, the CUDA module and checkpoints carry the same text.
#pragma once

namespace rstorch {

inline constexpr const char* kVersion = "0.1.0";

}  // namespace rstorch
