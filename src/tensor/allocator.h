// The caching allocator of the CPU: released blocks are kept in bins by size and handed out again, so that a training step
// in steady state neither asks the system for memory nor touches fresh pages.
#pragma once

#include <array>
#include <mutex>
#include <vector>

#include "base/stream.h"

namespace rstorch {

class CachingCpuAllocator final : public Allocator {
 public:
  ~CachingCpuAllocator() override { trim(); }
  void* allocate(size_t bytes) override;
  void release(void* memory, size_t bytes) noexcept override;
  Stats stats() const override;
  void reset_peak() override;
  void trim() override;

 private:
  static constexpr size_t kBins = 4 * 48;  // four sizes per power of two

  mutable std::mutex mutex_;
  std::array<std::vector<void*>, kBins> free_;
  Stats stats_;
};

}  // namespace rstorch
