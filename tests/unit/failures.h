// Expectations of several threads, which are the ranks of a test: doctest counts from one thread only.
#pragma once

#include <atomic>

#include <doctest/doctest.h>

namespace rstorch {

struct Failures {
  std::atomic<int> count = 0;
  void expect(bool holds) { count += holds ? 0 : 1; }
  ~Failures() { CHECK(count == 0); }
};

}  // namespace rstorch
