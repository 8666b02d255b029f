// What the allocators of all devices share: released blocks are kept in bins by size and handed out again, so that a
// training step in steady state neither asks the system for memory nor touches fresh pages.
#pragma once

#include <array>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/stream.h"

namespace rstorch {

class CachingAllocator : public Allocator {
 public:
  void* allocate(size_t bytes) final;
  void release(void* memory, size_t bytes) noexcept final;
  Stats stats() const final;
  void reset_peak() final;
  void trim() final;

 protected:
  // A derived class's destructor calls trim(): here, to_system() is gone already.
  ~CachingAllocator() override = default;

  // Null where there is no memory left. At least 64-byte aligned.
  virtual void* from_system(size_t bytes) = 0;
  virtual void to_system(void* memory, size_t bytes) noexcept = 0;
  // What an error says about the place: "cpu".
  virtual std::string place() const = 0;
  // What the device still has to give, where that can be known.
  virtual std::optional<size_t> free_bytes() const { return std::nullopt; }
  // For from_system() where that finds no memory; it is called for a second time after this anyway.
  void give_back_cached() noexcept;

 private:
  static constexpr size_t kBins = 4 * 48;  // four sizes per power of two

  void* fresh_block(size_t block_bytes, size_t wanted_bytes);

  mutable std::mutex mutex_;
  std::array<std::vector<void*>, kBins> free_;
  Stats stats_;
};

}  // namespace rstorch
