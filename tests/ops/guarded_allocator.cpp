#include "guarded_allocator.h"

#include <algorithm>
#include <array>
#include <vector>

#include "tensor/runtime.h"

namespace rstorch::testing {
namespace {

constexpr size_t kGuard = 256;  // and what follows is aligned as what a GPU hands out
constexpr unsigned char kPattern = 0xff;

}  // namespace

GuardedAllocator::GuardedAllocator(Device device) : stream_(current_stream(device)), previous_(&stream_.allocator()) {
  stream_.set_allocator(this);
  if (device.is_cuda()) static_cast<CudaStream&>(stream_).set_workspace(&workspace_);
}
GuardedAllocator::~GuardedAllocator() {
  stream_.set_allocator(previous_);
  if (stream_.device().is_cuda()) static_cast<CudaStream&>(stream_).set_workspace(nullptr);
}

void* GuardedAllocator::allocate(size_t bytes) {
  if (bytes == 0) return nullptr;
  const std::vector<unsigned char> pattern(bytes + 2 * kGuard, kPattern);
  auto* const whole = static_cast<unsigned char*>(previous_->allocate(pattern.size()));
  stream_.copy_bytes(whole, pattern.data(), pattern.size());
  stream_.synchronize();
  blocks_.insert({whole + kGuard, bytes});
  return whole + kGuard;
}

void GuardedAllocator::release(void* memory, size_t bytes) noexcept {
  if (memory == nullptr) return;
  const Block block{static_cast<unsigned char*>(memory), bytes};
  if (!guards_hold(block) || blocks_.erase(block) == 0) damaged_ = true;
  previous_->release(block.memory - kGuard, bytes + 2 * kGuard);
}

bool GuardedAllocator::intact() const {
  return !damaged_ && std::ranges::all_of(blocks_, [this](const Block& block) { return guards_hold(block); });
}

bool GuardedAllocator::guards_hold(const Block& block) const {
  return is_pattern(block.memory - kGuard) && is_pattern(block.memory + block.bytes);
}

bool GuardedAllocator::is_pattern(const unsigned char* memory) const {
  std::array<unsigned char, kGuard> guard{};
  stream_.copy_bytes(guard.data(), memory, guard.size());
  stream_.synchronize();
  return std::ranges::all_of(guard, [](unsigned char byte) { return byte == kPattern; });
}

}  // namespace rstorch::testing
