// The devices: how many, what they are, their memory and their queues.
#include "kernels/cuda/device.h"

#include <map>
#include <mutex>

#include "base/caching_allocator.h"
#include "base/error.h"
#include "kernels/cuda/blas.h"
#include "kernels/cuda/dnn.h"
#include "kernels/cuda/graph.h"
#include "kernels/cuda/owned.h"

namespace rstorch::kernels {
namespace {

double gib(size_t bytes) { return double(bytes) / double(size_t(1) << 30); }

class CudaAllocator final : public CachingAllocator {
 public:
  explicit CudaAllocator(int device) : device_(device) {}
  ~CudaAllocator() override { trim(); }

 private:
  void* from_system(size_t bytes) override {
    check(cudaSetDevice(device_), "cudaSetDevice");
    void* memory = nullptr;
    const cudaError_t code = cudaMalloc(&memory, bytes);
    if (code == cudaErrorMemoryAllocation) {
      cudaGetLastError();
      return nullptr;
    }
    check(code, "cudaMalloc");
    return memory;
  }
  // Waits for the device, so no queued work can still use the memory.
  void to_system(void* memory, size_t) noexcept override { cudaFree(memory); }

  std::string place() const override {
    size_t free = 0, total = 0;
    cudaMemGetInfo(&free, &total);
    return format("cuda:{} ({:.2f} GiB free of {:.2f})", device_, gib(free), gib(total));
  }

  std::optional<size_t> free_bytes() const override {
    size_t free = 0, total = 0;
    cudaMemGetInfo(&free, &total);
    return free;
  }

  int device_;
};

// Memory of the host. All devices may copy from it.
class PinnedAllocator final : public CachingAllocator {
 public:
  explicit PinnedAllocator(int device) : device_(device) {}
  ~PinnedAllocator() override { trim(); }

 private:
  void* from_system(size_t bytes) override {
    check(cudaSetDevice(device_), "cudaSetDevice");
    void* memory = nullptr;
    const cudaError_t code = cudaHostAlloc(&memory, bytes, cudaHostAllocPortable);
    if (code == cudaErrorMemoryAllocation) {
      cudaGetLastError();
      return nullptr;
    }
    check(code, "cudaHostAlloc");
    return memory;
  }
  void to_system(void* memory, size_t) noexcept override { cudaFreeHost(memory); }
  std::string place() const override { return "the host, pinned for CUDA"; }

  int device_;
};

cudaStream_t make_queue(int device) {
  check(cudaSetDevice(device), "cudaSetDevice");
  cudaStream_t queue = nullptr;
  check(cudaStreamCreateWithFlags(&queue, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
  return queue;
}

// One queue for all threads: see CudaModule.
struct SharedQueue {
  explicit SharedQueue(int device) : allocator(device), pinned(device), stream(make_queue(device)) {
    void* memory = nullptr;
    check(cudaHostAlloc(&memory, sizeof(DeviceErrors), cudaHostAllocPortable), "cudaHostAlloc");
    errors = static_cast<DeviceErrors*>(memory);
    *errors = {};
  }

  CudaAllocator allocator;
  PinnedAllocator pinned;
  cudaStream_t stream;
  DeviceErrors* errors = nullptr;
};

SharedQueue& shared_queue(int device) {
  // Never destroyed: tensors with static storage duration may be released after main.
  static auto* const queues = new std::map<int, SharedQueue>;
  static std::mutex mutex;
  const std::lock_guard lock(mutex);
  return queues->try_emplace(device, device).first->second;
}

// To be called when the device has done all work. What is thrown is no longer kept.
void throw_found(DeviceErrors& errors, Device device) {
  if (!errors.complete) return;
  const ArgumentError error = errors.describe(errors.bad);
  errors.complete = 0;
  errors.taken = 0;
  throw ArgumentError(
      format("{} (in an earlier call: {} found it while the host went on)", error.what(), device.text()), error.hint());
}

class Event final : public DeviceEvent {
 public:
  explicit Event(cudaStream_t queue) {
    cudaEvent_t event = nullptr;
    check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "cudaEventCreateWithFlags");
    event_.reset(event);
    check(cudaEventRecord(event, queue), "cudaEventRecord");
  }
  void wait() override { check(cudaEventSynchronize(event_.get()), "cudaEventSynchronize"); }
  cudaEvent_t get() const { return event_.get(); }

 private:
  Owned<cudaEvent_t, cudaEventDestroy> event_;
};

using OwnQueue = Owned<cudaStream_t, cudaStreamDestroy>;
using BlasHandle = Owned<cublasLtHandle_t, cublasLtDestroy>;
using DnnHandle = Owned<cudnnHandle_t, cudnnDestroy>;

class DeviceStream final : public CudaStream {
 public:
  // Of the queue that all threads share; or of its own one.
  explicit DeviceStream(int device) : DeviceStream(device, shared_queue(device).stream) {}
  DeviceStream(int device, OwnQueue queue) : DeviceStream(device, queue.get()) { own_ = std::move(queue); }

  void* handle() const override { return queue(); }

  void* blas_handle() override {
    if (blas_) return blas_.get();
    queue();  // the handle is of the current device
    cublasLtHandle_t handle = nullptr;
    check(cublasLtCreate(&handle), "cublasLtCreate");
    blas_.reset(handle);
    return handle;
  }

  void* dnn_handle() override {
    if (dnn_) return dnn_.get();
    const cudaStream_t stream = queue();
    cudnnHandle_t handle = nullptr;
    check(cudnnCreate(&handle), "cudnnCreate");
    DnnHandle dnn(handle);
    check(cudnnSetStream(handle, stream), "cudnnSetStream");
    dnn_ = std::move(dnn);
    return handle;
  }

  std::unique_ptr<DeviceGraph> capture(const std::function<void()>& work) override { return record(queue(), work); }

  std::unique_ptr<DeviceEvent> mark() override { return std::make_unique<Event>(queue()); }

  void wait_for(const DeviceEvent& event) override {
    check(cudaStreamWaitEvent(queue(), static_cast<const Event&>(event).get(), 0), "cudaStreamWaitEvent");
  }

 private:
  DeviceStream(int device, cudaStream_t stream)
      : CudaStream({DeviceType::cuda, device}, &shared_queue(device).allocator),
        stream_(stream),
        errors_(*shared_queue(device).errors) {}

  void wait() override {
    check(cudaStreamSynchronize(queue()), "cudaStreamSynchronize");
    throw_found(errors_, device());
  }

  void copy(void* to, const void* from, size_t bytes) override {
    if (bytes > 0) check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, queue()), "cudaMemcpyAsync");
  }

  // CUDA wants the device to be the thread's current one whenever work is queued to it.
  cudaStream_t queue() const {
    check(cudaSetDevice(device().index), "cudaSetDevice");
    return stream_;
  }

  OwnQueue own_;
  cudaStream_t stream_;
  DeviceErrors& errors_;
  BlasHandle blas_;
  DnnHandle dnn_;
};

}  // namespace

int cuda_device_count(std::string& why_none) {
  int count = 0;
  const cudaError_t code = cudaGetDeviceCount(&count);
  if (code == cudaSuccess && count > 0) return count;
  cudaGetLastError();
  int driver = 0;
  cudaDriverGetVersion(&driver);  // 0: there is none
  const auto version = [](int number) { return format("{}.{}", number / 1000, number % 1000 / 10); };
  if (code == cudaErrorInsufficientDriver && driver == 0) {
    why_none = format("there is no NVIDIA driver (cudaGetDeviceCount: {})", int(code));
  } else if (code == cudaErrorInsufficientDriver) {
    why_none = format("the NVIDIA driver is for CUDA {}, rstorch_cuda.so wants {} (cudaGetDeviceCount: {})",
                      version(driver), version(CUDART_VERSION), int(code));
  } else {
    why_none = format("there is no CUDA device: {} (cudaGetDeviceCount: {})", cudaGetErrorString(code), int(code));
  }
  return 0;
}

std::string describe_cuda_device(int device) {
  cudaDeviceProp properties;
  check(cudaGetDeviceProperties(&properties, device), "cudaGetDeviceProperties");
  return format("{}, sm_{}{}, {:.0f} GiB", properties.name, properties.major, properties.minor,
                gib(properties.totalGlobalMem));
}

std::string cuda_bus_id(int device) {
  char text[32] = {};
  check(cudaDeviceGetPCIBusId(text, sizeof text, device), "cudaDeviceGetPCIBusId");
  return text;
}

Allocator& cuda_pinned_memory(int device) { return shared_queue(device).pinned; }

DeviceErrors& device_errors(int device) { return *shared_queue(device).errors; }

std::unique_ptr<Stream> make_cuda_stream(int device) { return std::make_unique<DeviceStream>(device); }

std::unique_ptr<CudaStream> make_cuda_copy_stream(int device) {
  return std::make_unique<DeviceStream>(device, OwnQueue(make_queue(device)));
}

}  // namespace rstorch::kernels
