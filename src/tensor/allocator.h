// The memory of the CPU.
#pragma once

#include "base/caching_allocator.h"

namespace rstorch {

class CachingCpuAllocator final : public CachingAllocator {
 public:
  ~CachingCpuAllocator() override { trim(); }

 private:
  void* from_system(size_t bytes) override;
  void to_system(void* memory, size_t bytes) noexcept override;
  std::string place() const override { return "cpu"; }
};

}  // namespace rstorch
