#include "base/memory_pool.h"

#include "base/error.h"

namespace rstorch {

void* MemoryPool::from_system(size_t bytes) {
  try {
    return source_.allocate(bytes);
  } catch (const OutOfMemoryError&) {
    give_back_cached();
    return source_.allocate(bytes);  // throws with the numbers of the device, not of the pool
  }
}

}  // namespace rstorch
