// NCCL, opened when it is first asked for: the module itself needs no libnccl.so.2 to open.
#pragma once

#include <string>

#include "base/nccl_api.h"

namespace rstorch::kernels {

// Null where it cannot be used; `why_none` then names what is missing.
const NcclApi* open_nccl(std::string& why_none);

}  // namespace rstorch::kernels
