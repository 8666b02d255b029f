// Where layers that are being constructed put their parameters, as PyTorch's set_default_device and set_default_dtype.
#pragma once

#include "tensor/tensor.h"

namespace rstorch::nn {

struct Placement {
  Device device = kCPU;
  DType dtype = DType::f32;
};

// The placement of the innermost scope of this thread; CPU and f32 without one.
const Placement& current_placement();

class PlacementScope {
 public:
  explicit PlacementScope(const Placement& placement);
  ~PlacementScope();
  PlacementScope(const PlacementScope&) = delete;
  PlacementScope& operator=(const PlacementScope&) = delete;

 private:
  Placement previous_;
};

}  // namespace rstorch::nn
