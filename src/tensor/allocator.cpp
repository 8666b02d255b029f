#include "tensor/allocator.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cstdlib>

#include "base/error.h"

namespace rstorch {
namespace {

constexpr size_t kAlignment = 64;
constexpr size_t kSmallest = 64;
constexpr size_t kHugePage = size_t(2) << 20;

struct Bin {
  size_t index;
  size_t bytes;  // what a block of this bin holds
};

// Bins grow by a quarter of a power of two, so at most a fifth of a block is unused.
Bin bin_of(size_t bytes) {
  bytes = std::max(bytes, kSmallest);
  const int power = std::bit_width(bytes - 1) - 1;  // 2^power < bytes <= 2^(power+1)
  const size_t quarter = std::max<size_t>((size_t(1) << power) / 4, 16);
  const size_t rounded = (bytes + quarter - 1) / quarter * quarter;
  const size_t step = (rounded - (size_t(1) << power)) / quarter;  // 1..4
  return {size_t(power) * 4 + step - 1, rounded};
}

void* from_system(size_t bytes) {
  const size_t alignment = bytes >= kHugePage ? kHugePage : kAlignment;
  void* memory = std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
  if (memory != nullptr && bytes >= kHugePage) madvise(memory, bytes, MADV_HUGEPAGE);
  return memory;
}

}  // namespace

void* CachingCpuAllocator::allocate(size_t bytes) {
  if (bytes == 0) return nullptr;
  // A wrapped or absurd size must not reach the bins.
  if (bytes > (size_t(1) << 46)) throw OutOfMemoryError(format("cannot allocate {} bytes on cpu", bytes));
  const Bin bin = bin_of(bytes);
  const std::lock_guard lock(mutex_);
  ++stats_.allocations;
  void* memory = nullptr;
  if (auto& blocks = free_[bin.index]; !blocks.empty()) {
    memory = blocks.back();
    blocks.pop_back();
  } else {
    memory = from_system(bin.bytes);
    ++stats_.system_allocations;
    if (memory == nullptr) {
      throw OutOfMemoryError(format("cannot allocate {} bytes on cpu: {} bytes are in use, {} reserved", bytes,
                                    stats_.live_bytes, stats_.reserved_bytes),
                             "use a smaller batch_size or model");
    }
    stats_.reserved_bytes += bin.bytes;
  }
  stats_.live_bytes += bin.bytes;
  stats_.peak_bytes = std::max(stats_.peak_bytes, stats_.live_bytes);
  return memory;
}

void CachingCpuAllocator::release(void* memory, size_t bytes) noexcept {
  if (memory == nullptr) return;
  const Bin bin = bin_of(bytes);
  const std::lock_guard lock(mutex_);
  stats_.live_bytes -= bin.bytes;
  free_[bin.index].push_back(memory);
}

Allocator::Stats CachingCpuAllocator::stats() const {
  const std::lock_guard lock(mutex_);
  return stats_;
}

void CachingCpuAllocator::reset_peak() {
  const std::lock_guard lock(mutex_);
  stats_.peak_bytes = stats_.live_bytes;
}

void CachingCpuAllocator::trim() {
  const std::lock_guard lock(mutex_);
  stats_.reserved_bytes = stats_.live_bytes;
  for (auto& blocks : free_) {
    for (void* memory : blocks) std::free(memory);
    blocks.clear();
  }
}

}  // namespace rstorch
