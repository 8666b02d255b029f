// Bad indices that kernels find: a kernel cannot throw, and the host does not wait for it.
//
//   const IndexCheck check(stream, "gather", index_error);  // on the host; goes to the kernel by value
//   if (!check.valid(index[i], size, i)) return;            // in the kernel, which goes on without the element
//
// The first bad index of a device is kept, and thrown when the host next waits: see DeviceErrors.
#pragma once

#include "kernels/cuda/device.h"

namespace rstorch::kernels {

class IndexCheck {
 public:
  // `op` is a literal.
  IndexCheck(const CudaStream& stream, const char* op, ArgumentError (*describe)(const BadIndex&))
      : errors_(&device_errors(stream.device().index)), op_(op), describe_(describe) {}

  // True for an index in [0, size). Any other is reported as number `at` of the indices.
  __device__ bool valid(int64_t index, int64_t size, int64_t at) const {
    if (index >= 0 && index < size) return true;
    if (atomicCAS(&errors_->taken, 0u, 1u) == 0u) {
      errors_->bad = {op_, at, index, size};
      errors_->describe = describe_;
      __threadfence_system();
      errors_->complete = 1;
    }
    return false;
  }

 private:
  DeviceErrors* errors_;
  const char* op_;
  ArgumentError (*describe_)(const BadIndex&);
};

}  // namespace rstorch::kernels
