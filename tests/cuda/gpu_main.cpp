// Of tests that need a GPU, or the fake one. Without one none of them runs, and Meson counts the program as skipped.
#define DOCTEST_CONFIG_IMPLEMENT
#include <cstdio>
#include <cstdlib>

#include <doctest/doctest.h>

#include "tensor/runtime.h"

int main(int argc, char** argv) {
  constexpr int kFailed = 1, kSkipped = 77;
  if (rstorch::cuda::is_available()) return doctest::Context(argc, argv).run();
  const bool is_meant = std::getenv("RSTORCH_CUDA_MODULE") != nullptr;  // by whoever names a module
  std::printf("%s: %s\n", is_meant ? "failed" : "skipped", rstorch::cuda::why_unavailable().c_str());
  return is_meant ? kFailed : kSkipped;
}
