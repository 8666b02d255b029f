// Memory that a kernel needs while it runs, from the stream's allocator.
#pragma once

#include <cstdint>

#include "base/stream.h"

namespace rstorch::kernels {

template <class T>
class Scratch {
 public:
  Scratch(const CpuStream& stream, int64_t count)
      : allocator_(stream.allocator()),
        bytes_(size_t(count) * sizeof(T)),
        data_(static_cast<T*>(allocator_.allocate(bytes_))) {}
  ~Scratch() { allocator_.release(data_, bytes_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  T* data() const { return data_; }

 private:
  Allocator& allocator_;
  size_t bytes_;
  T* data_;
};

}  // namespace rstorch::kernels
