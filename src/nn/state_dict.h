// Copying named tensors into named tensors of the same names and shapes: all or nothing, all errors at once.
#pragma once

#include <string_view>

#include "nn/module.h"

namespace rstorch::nn {

// Copies each tensor of `from` into the one of that name in `to`, converting floating dtypes and devices. Throws
// CheckpointError, naming `operation`, for every misshapen key and, if strict, every missing or unexpected one with its
// nearest name; nothing was written then.
LoadResult copy_state(const StateDict& to, const StateDict& from, Strict strict, std::string_view operation);

}  // namespace rstorch::nn
