// In place of open_nccl.cpp where the module is built without nccl.h.
#include "kernels/cuda/open_nccl.h"

namespace rstorch::kernels {

const NcclApi* open_nccl(std::string& why_none) {
  why_none = "rstorch_cuda.so was built without NCCL (nccl.h was not found)";
  return nullptr;
}

}  // namespace rstorch::kernels
