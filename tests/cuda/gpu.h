#pragma once

#include <cstdlib>

#include <doctest/doctest.h>

#include "tensor/runtime.h"

// Where there is no GPU, a test says so and does nothing.
inline bool has_gpu() {
  if (rstorch::cuda::is_available()) return true;
  // Whoever names a module means it.
  REQUIRE_MESSAGE(!std::getenv("RSTORCH_CUDA_MODULE"), rstorch::cuda::why_unavailable());
  MESSAGE("skipped: " << rstorch::cuda::why_unavailable());
  return false;
}
