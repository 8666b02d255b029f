// cuBLASLt. Apart from check.h, because its headers are long and few kernels need them.
#pragma once

#include <cublasLt.h>

#include "kernels/cuda/check.h"

namespace rstorch::kernels {

[[noreturn]] void fail(cublasStatus_t code, std::string_view call);
inline void check(cublasStatus_t code, std::string_view call) {
  if (code != CUBLAS_STATUS_SUCCESS) fail(code, call);
}

}  // namespace rstorch::kernels
