#include "tensor/storage.h"

#include "tensor/runtime.h"

namespace rstorch {

Storage::Storage(Device device, size_t bytes)
    : device_(device), bytes_(bytes), allocator_(&current_stream(device).allocator()) {
  data_ = allocator_->allocate(bytes);
}

Storage::Storage(std::shared_ptr<Storage> whole, size_t offset, size_t bytes)
    : device_(whole->device()),
      bytes_(bytes),
      data_(whole->data() ? static_cast<char*>(whole->data()) + offset : nullptr),
      whole_(std::move(whole)) {}

Storage::Storage(void* data, size_t bytes, std::shared_ptr<void> owner)
    : device_(kCPU), bytes_(bytes), data_(data), owner_(std::move(owner)) {}

Storage::~Storage() {
  if (allocator_) allocator_->release(data_, bytes_);
}

}  // namespace rstorch
