#include "guarded_allocator.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "tensor/runtime.h"

namespace rstorch::testing {
namespace {

constexpr size_t kGuard = 64;
constexpr unsigned char kPattern = 0xff;

}  // namespace

GuardedAllocator::GuardedAllocator() : previous_(&current_stream(kCPU).allocator()) {
  current_stream(kCPU).set_allocator(this);
}
GuardedAllocator::~GuardedAllocator() { current_stream(kCPU).set_allocator(previous_); }

void* GuardedAllocator::allocate(size_t bytes) {
  if (bytes == 0) return nullptr;
  const size_t total = (bytes + 2 * kGuard + 63) / 64 * 64;
  auto* const whole = static_cast<unsigned char*>(std::aligned_alloc(64, total));
  std::memset(whole, kPattern, total);
  blocks_.insert({whole + kGuard, bytes});
  return whole + kGuard;
}

void GuardedAllocator::release(void* memory, size_t bytes) noexcept {
  if (memory == nullptr) return;
  const Block block{static_cast<unsigned char*>(memory), bytes};
  if (!guards_hold(block) || blocks_.erase(block) == 0) damaged_ = true;
  std::free(block.memory - kGuard);
}

bool GuardedAllocator::intact() const { return !damaged_ && std::all_of(blocks_.begin(), blocks_.end(), guards_hold); }

bool GuardedAllocator::guards_hold(const Block& block) {
  const auto untouched = [](unsigned char byte) { return byte == kPattern; };
  return std::all_of(block.memory - kGuard, block.memory, untouched) &&
         std::all_of(block.memory + block.bytes, block.memory + block.bytes + kGuard, untouched);
}

}  // namespace rstorch::testing
