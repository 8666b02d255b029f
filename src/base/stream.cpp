#include "base/stream.h"

#include <cstring>

namespace rstorch {

void CpuStream::copy(void* to, const void* from, size_t bytes) {
  if (bytes > 0) std::memcpy(to, from, bytes);
}

}  // namespace rstorch
