// An ordered queue of work on one device, and the single funnel to it: every kernel launch and every allocation of the
// program passes through a Stream. Whatever must see all work (memory plan, replay, CUDA graphs, profiles) observes it here.
//
// A stream belongs to one thread at a time. Allocators are shared and thread-safe.
#pragma once

#include <cstddef>
#include <string_view>

#include "base/device.h"

namespace rstorch {

// Memory of one device. allocate() returns 64-byte aligned memory and throws OutOfMemoryError; it never returns null for
// bytes > 0. release() takes what allocate() gave, with the same size.
class Allocator {
 public:
  struct Stats {
    size_t live_bytes = 0;       // handed out now
    size_t peak_bytes = 0;       // most ever handed out at once, since reset_peak()
    size_t reserved_bytes = 0;   // held from the system, handed out or cached
    size_t allocations = 0;      // calls of allocate()
    size_t system_allocations = 0;  // of them, those that went to the system
  };

  virtual ~Allocator() = default;
  virtual void* allocate(size_t bytes) = 0;
  virtual void release(void* memory, size_t bytes) noexcept = 0;
  virtual Stats stats() const = 0;
  virtual void reset_peak() = 0;
  virtual void trim() = 0;  // gives cached memory back to the system
};

// Sees each launch before it runs and after it was queued. For profiles, tests and, later, recording a step.
class StreamObserver {
 public:
  virtual ~StreamObserver() = default;
  virtual void before_launch(std::string_view kernel) = 0;
  virtual void after_launch(std::string_view kernel) = 0;
};

class Stream {
 public:
  Stream(Device device, Allocator* allocator) : device_(device), allocator_(allocator) {}
  virtual ~Stream() = default;
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  Device device() const { return device_; }
  Allocator& allocator() const { return *allocator_; }
  // For later work: tensors made on this thread, and scratch memory of kernels. What was taken before goes back to where
  // it came from.
  void set_allocator(Allocator* allocator) { allocator_ = allocator; }
  // Blocks the host until all queued work is done.
  virtual void synchronize() {}
  // Copies bytes between host and device, or within the device, in stream order. `kind` is told by the pointers.
  virtual void copy_bytes(void* to, const void* from, size_t bytes) = 0;

  // Whether products and convolutions of f32 may round their factors to TF32, which keeps 10 bits of the fraction: on
  // GPUs that is several times faster.
  bool allows_tf32() const { return allows_tf32_; }
  void allow_tf32(bool allowed) { allows_tf32_ = allowed; }

  StreamObserver* observer() const { return observer_; }
  void set_observer(StreamObserver* observer) { observer_ = observer; }

 private:
  Device device_;
  Allocator* allocator_;
  StreamObserver* observer_ = nullptr;
  bool allows_tf32_ = false;
};

// Runs work at once, on the calling thread and the OpenMP pool.
class CpuStream final : public Stream {
 public:
  explicit CpuStream(Allocator* allocator) : Stream(kCPU, allocator) {}
  void copy_bytes(void* to, const void* from, size_t bytes) override;
};

// A CUDA stream. Made by the CUDA module only; the handles are opaque here so that no CUDA header is needed.
class CudaStream : public Stream {
 public:
  using Stream::Stream;
  // cudaStream_t; makes its device the calling thread's current one
  virtual void* handle() const = 0;
  virtual void* blas_handle() = 0;            // cublasLtHandle_t; made on first use
  virtual void* dnn_handle() = 0;             // cudnnHandle_t; made on first use
  virtual void* workspace(size_t bytes) = 0;  // scratch memory, valid until the next call; in stream order
};

}  // namespace rstorch
