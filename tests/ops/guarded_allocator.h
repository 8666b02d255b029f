// Memory with guard bytes around it, filled with a pattern (nan in every floating dtype) before it is handed out: a
// kernel that writes outside its output, or leaves a part of it unwritten, is found.
#pragma once

#include <set>
#include <string>

#include "base/stream.h"

namespace rstorch::testing {

// While it lives, the CPU's allocator for tensors and for the scratch memory of kernels. One thread at a time.
class GuardedAllocator final : public Allocator {
 public:
  GuardedAllocator();
  ~GuardedAllocator() override;
  GuardedAllocator(const GuardedAllocator&) = delete;
  GuardedAllocator& operator=(const GuardedAllocator&) = delete;

  void* allocate(size_t bytes) override;
  void release(void* memory, size_t bytes) noexcept override;
  Stats stats() const override { return {}; }
  void reset_peak() override {}
  void trim() override {}

  // True if no guard was touched, of blocks that are in use or were given back.
  bool intact() const;

 private:
  struct Block {
    unsigned char* memory;
    size_t bytes;
    auto operator<=>(const Block&) const = default;
  };
  static bool guards_hold(const Block& block);

  Allocator* previous_;
  std::set<Block> blocks_;
  bool damaged_ = false;
};

}  // namespace rstorch::testing
