// Memory of a device set apart: what is released here is handed out here again, and to nobody else while the pool
// lives. For what a captured step writes to.
#pragma once

#include "base/caching_allocator.h"

namespace rstorch {

class MemoryPool final : public CachingAllocator {
 public:
  // `source` must outlive it; all that it gave must be back when the pool ends.
  explicit MemoryPool(Allocator& source) : source_(source) {}
  ~MemoryPool() override { trim(); }

 private:
  void* from_system(size_t bytes) override;
  void to_system(void* memory, size_t bytes) noexcept override { source_.release(memory, bytes); }
  std::string place() const override { return "a step's own memory"; }

  Allocator& source_;
};

}  // namespace rstorch
