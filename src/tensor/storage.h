// A buffer on one device, shared by all tensors that view it.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "base/stream.h"

namespace rstorch {

class Storage {
 public:
  // Takes `bytes` from the calling thread's stream for that device. The contents are undefined.
  Storage(Device device, size_t bytes);
  // A part of another storage, which stays alive with it, and has a version of its own: writing to the part leaves the
  // other parts unchanged, writing to the whole changes all.
  Storage(std::shared_ptr<Storage> whole, size_t offset, size_t bytes);
  // Wraps memory that `owner` keeps alive (a memory-mapped file, the caller's array). CPU only.
  Storage(void* data, size_t bytes, std::shared_ptr<void> owner);
  ~Storage();
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  void* data() const { return data_; }
  size_t bytes() const { return bytes_; }
  Device device() const { return device_; }

  // Counts in-place writes; autograd compares it with the number at the time of saving.
  uint64_t version() const { return version_ + (whole_ ? whole_->version() : 0); }
  void bump_version() { ++version_; }
  // Set once there is a view of this buffer: from then on in-place writes that autograd would record are refused. Any
  // thread may set it: those that make batches take views of the data.
  bool has_views() const { return has_views_.load(std::memory_order_relaxed); }
  void mark_views() { has_views_.store(true, std::memory_order_relaxed); }

 private:
  Device device_;
  size_t bytes_;
  void* data_;
  Allocator* allocator_ = nullptr;  // null for wrapped memory
  std::shared_ptr<void> owner_;
  std::shared_ptr<Storage> whole_;
  uint64_t version_ = 0;
  std::atomic<bool> has_views_ = false;
};

}  // namespace rstorch
