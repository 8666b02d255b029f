#include "base/caching_allocator.h"

#include <algorithm>
#include <bit>
#include <new>

#include "base/error.h"

namespace rstorch {
namespace {

constexpr size_t kSmallest = 64;
constexpr size_t kLargest = size_t(1) << 46;

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

// What bin_of() gives for the bin of this index.
size_t bytes_of_bin(size_t index) {
  const size_t power_of_two = size_t(1) << (index / 4);
  return power_of_two + (index % 4 + 1) * std::max<size_t>(power_of_two / 4, 16);
}

std::string text(size_t bytes) {
  constexpr size_t kMiB = size_t(1) << 20, kGiB = size_t(1) << 30;
  if (bytes < kMiB) return format("{} bytes", bytes);
  return bytes < kGiB ? format("{:.1f} MiB", double(bytes) / double(kMiB))
                      : format("{:.2f} GiB", double(bytes) / double(kGiB));
}

}  // namespace

void* CachingAllocator::allocate(size_t bytes) {
  if (bytes == 0) return nullptr;
  // A wrapped or absurd size must not reach the bins.
  if (bytes > kLargest) throw OutOfMemoryError(format("cannot allocate {} on {}", text(bytes), place()));
  const Bin bin = bin_of(bytes);
  const std::lock_guard lock(mutex_);
  ++stats_.allocations;
  void* memory = nullptr;
  if (auto& blocks = free_[bin.index]; !blocks.empty()) {
    memory = blocks.back();
    blocks.pop_back();
  } else {
    memory = fresh_block(bin.bytes, bytes);
  }
  stats_.live_bytes += bin.bytes;
  stats_.peak_bytes = std::max(stats_.peak_bytes, stats_.live_bytes);
  return memory;
}

void* CachingAllocator::fresh_block(size_t block_bytes, size_t wanted_bytes) {
  ++stats_.system_allocations;
  void* memory = from_system(block_bytes);
  if (memory == nullptr) {
    give_back_cached();  // blocks of other sizes may be in the way
    memory = from_system(block_bytes);
  }
  if (memory == nullptr) {
    OutOfMemoryError error(format("cannot allocate {} on {}: {} are in use, at most {} were", text(wanted_bytes),
                                  place(), text(stats_.live_bytes), text(stats_.peak_bytes)),
                           "use a smaller batch_size or model");
    if (const std::optional<size_t> free = free_bytes()) {
      error.wanted = wanted_bytes;
      error.in_use = stats_.live_bytes;
      error.free = *free;
    }
    throw error;
  }
  stats_.reserved_bytes += block_bytes;
  return memory;
}

void CachingAllocator::release(void* memory, size_t bytes) noexcept {
  if (memory == nullptr) return;
  const Bin bin = bin_of(bytes);
  const std::lock_guard lock(mutex_);
  stats_.live_bytes -= bin.bytes;
  try {
    free_[bin.index].push_back(memory);
  } catch (const std::bad_alloc&) {  // no memory for the list itself
    stats_.reserved_bytes -= bin.bytes;
    to_system(memory, bin.bytes);
  }
}

Allocator::Stats CachingAllocator::stats() const {
  const std::lock_guard lock(mutex_);
  return stats_;
}

void CachingAllocator::reset_peak() {
  const std::lock_guard lock(mutex_);
  stats_.peak_bytes = stats_.live_bytes;
}

void CachingAllocator::trim() {
  const std::lock_guard lock(mutex_);
  give_back_cached();
}

void CachingAllocator::give_back_cached() noexcept {
  stats_.reserved_bytes = stats_.live_bytes;
  for (size_t i = 0; i < free_.size(); ++i) {
    for (void* memory : free_[i]) to_system(memory, bytes_of_bin(i));
    free_[i].clear();
  }
}

}  // namespace rstorch
