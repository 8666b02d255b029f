// Memory with guard bytes around it, filled with a pattern (nan in every floating dtype) before it is handed out: a
// kernel that writes outside its output, or leaves a part of it unwritten, is found.
#pragma once

#include <set>
#include <string>

#include "base/stream.h"

namespace rstorch::testing {

// While it lives, the device's allocator for this thread's tensors and for the scratch memory of kernels. On a GPU each
// call waits.
class GuardedAllocator final : public Allocator {
 public:
  explicit GuardedAllocator(Device device = kCPU);
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
  bool guards_hold(const Block& block) const;
  bool is_pattern(const unsigned char* memory) const;

  Stream& stream_;
  Allocator* previous_;
  std::set<Block> blocks_;
  bool damaged_ = false;
  Workspace workspace_;  // on a GPU; the last, since it gives back here what it took
};

}  // namespace rstorch::testing
