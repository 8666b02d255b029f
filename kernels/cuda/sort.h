// Sorts elements by whole numbers, on the device, so that sums over equal numbers have an order.
#pragma once

#include <cstdint>

#include "base/stream.h"

namespace rstorch::kernels {

// keys[p] is the p-th smallest key, elements[p] whose it is; elements with equal keys are in their own order.
struct Sorted {
  const uint32_t* keys;
  const uint32_t* elements;
  uint32_t count;
};

// In the workspace of the stream, until its next use:
//
//   Sort sort(stream, count, bound);
//   ...a kernel writes sort.keys()[i], below `bound`, for every element i...
//   const Sorted sorted = sort.run("index_add");
//
// Takes 16 bytes of workspace an element, and two launches for every 8 bits of the bound; one launch for up to 1024
// elements.
class Sort {
 public:
  // count, bound < 2^31
  Sort(CudaStream& stream, int64_t count, int64_t bound);

  uint32_t* keys() const { return keys_; }
  Sorted run(const char* name) const;

 private:
  Sorted run_small(const char* name) const;

  CudaStream& stream_;
  uint32_t count_, tiles_, bits_;
  uint32_t* keys_;  // the caller's; behind it as many of results, twice as many elements, and the counts of digits
};

}  // namespace rstorch::kernels
