// A buffer on one device, shared by all tensors that view it.
#pragma once

#include <cstdint>
#include <memory>

#include "base/stream.h"

namespace rstorch {

class Storage {
 public:
  // Takes `bytes` from the device's allocator. The contents are undefined.
  Storage(Device device, size_t bytes);
  // Wraps memory that `owner` keeps alive (a memory-mapped file, the caller's array). CPU only.
  Storage(void* data, size_t bytes, std::shared_ptr<void> owner);
  ~Storage();
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  void* data() const { return data_; }
  size_t bytes() const { return bytes_; }
  Device device() const { return device_; }

  // Counts in-place writes; autograd compares it with the number at the time of saving.
  uint64_t version() const { return version_; }
  void bump_version() { ++version_; }
  // Set once autograd has recorded a view of this buffer: from then on recorded in-place writes are refused.
  bool has_recorded_views() const { return has_recorded_views_; }
  void mark_recorded_views() { has_recorded_views_ = true; }

 private:
  Device device_;
  size_t bytes_;
  void* data_;
  Allocator* allocator_ = nullptr;  // null for wrapped memory
  std::shared_ptr<void> owner_;
  uint64_t version_ = 0;
  bool has_recorded_views_ = false;
};

}  // namespace rstorch
