// cuDNN. Apart from check.h, because its headers are long and few kernels need them.
#pragma once

#include <cudnn.h>

#include "kernels/cuda/check.h"

namespace rstorch::kernels {

[[noreturn]] void fail(cudnnStatus_t code, std::string_view call);
inline void check(cudnnStatus_t code, std::string_view call) {
  if (code != CUDNN_STATUS_SUCCESS) fail(code, call);
}

}  // namespace rstorch::kernels
