#include "tensor/allocator.h"

#include <cstdlib>

#include <sys/mman.h>

namespace rstorch {
namespace {

constexpr size_t kAlignment = 64;
constexpr size_t kHugePage = size_t(2) << 20;

}  // namespace

void* CachingCpuAllocator::from_system(size_t bytes) {
  const size_t alignment = bytes >= kHugePage ? kHugePage : kAlignment;
  void* memory = std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
  if (memory != nullptr && bytes >= kHugePage) madvise(memory, bytes, MADV_HUGEPAGE);
  return memory;
}

void CachingCpuAllocator::to_system(void* memory, size_t) noexcept { std::free(memory); }

}  // namespace rstorch
