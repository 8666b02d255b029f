#include "tensor/runtime.h"

#include <cstdlib>
#include <map>
#include <utility>

#include <dlfcn.h>

#include "base/error.h"
#include "base/module_file.h"
#include "base/version.h"
#include "kernels/cuda/module.h"
#include "tensor/allocator.h"

namespace rstorch {
namespace {

struct LoadedModule {
  const CudaModule* table = nullptr;
  int devices = 0;
  std::string why;  // why there is no device
};

constexpr const char* kModuleFile = "rstorch_cuda.so";
constexpr const char* kModuleVariable = "RSTORCH_CUDA_MODULE";  // a path: this module and no other, whatever the driver

std::string module_path() { return rstorch::module_path(kModuleFile, kModuleVariable, "kernels/cuda"); }

// Without a driver the module's libraries, 200 MB, need not be opened to learn that there is no device. Never closed.
bool has_driver() { return dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL) != nullptr; }

LoadedModule load_module() {
  LoadedModule out;
  if (!std::getenv(kModuleVariable) && !has_driver()) {
    out.why = "there is no NVIDIA driver, libcuda.so.1";
    return out;
  }
  // RTLD_NOW: a module of another program fails here, by the name of a kernel, and not later. Never closed.
  void* library = dlopen(module_path().c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* const text = dlerror();
    const std::string reason = text ? text : "unknown reason";
    const bool none =
        reason.starts_with(std::string(kModuleFile) + ":");  // not of a path: the loader found no such file
    out.why = none ? format("there is no CUDA module, {}", kModuleFile)
                   : format("the CUDA module cannot be opened: {}", reason);
    return out;
  }
  using Entry = const CudaModule* (*)();
  const auto entry = reinterpret_cast<Entry>(dlsym(library, "rstorch_cuda_module"));
  if (entry == nullptr) {
    out.why = format("{} has no entry point: it is not rstorch's CUDA module", module_path());
    return out;
  }
  const CudaModule* table = entry();
  if (std::string_view(table->version) != kVersion) {
    out.why = format("{} is version {}, the program is {}", module_path(), table->version, kVersion);
    return out;
  }
  table->install();
  out.devices = table->device_count(out.why);
  if (out.devices > 0) out.table = table;
  return out;
}

const LoadedModule& cuda_module() {
  static const LoadedModule loaded = load_module();
  return loaded;
}

const CudaModule& require_cuda(Device device) {
  const LoadedModule& loaded = cuda_module();
  if (loaded.table == nullptr)
    throw DeviceError(format("device {}: {}", device.text(), loaded.why), "use device: cpu, or auto");
  if (device.index >= loaded.devices) {
    throw DeviceError(format("device {}: this machine has {} CUDA device(s)", device.text(), loaded.devices),
                      "devices are counted from 0; CUDA_VISIBLE_DEVICES may hide some");
  }
  return *loaded.table;
}

// Knows sizes and has no memory.
class MetaAllocator final : public Allocator {
 public:
  void* allocate(size_t) override { return nullptr; }
  void release(void*, size_t) noexcept override {}
  Stats stats() const override { return {}; }
  void reset_peak() override {}
  void trim() override {}
};

class MetaStream final : public Stream {
 public:
  explicit MetaStream(Allocator* allocator) : Stream(kMeta, allocator) {}

 private:
  void copy(void*, const void*, size_t) override {}
};

}  // namespace

Stream& current_stream(Device device) {
  // Never destroyed: tensors with static storage duration may be released after main.
  static Allocator* const cpu_memory = new CachingCpuAllocator;
  static Allocator* const no_memory = new MetaAllocator;
  thread_local CpuStream cpu(cpu_memory);
  thread_local MetaStream meta(no_memory);
  thread_local std::map<int, std::unique_ptr<Stream>> cuda;
  if (device.is_cpu()) return cpu;
  if (device.is_meta()) return meta;
  std::unique_ptr<Stream>& stream = cuda[device.index];
  if (!stream) stream = require_cuda(device).make_stream(device.index);
  return *stream;
}

namespace cuda {

bool is_available() { return cuda_module().table != nullptr; }
int device_count() { return cuda_module().devices; }
const std::string& why_unavailable() { return cuda_module().why; }
std::string describe(int device) { return require_cuda({DeviceType::cuda, device}).describe(device); }
std::string bus_id(int device) { return require_cuda({DeviceType::cuda, device}).bus_id(device); }
Allocator& pinned_memory(int device) { return require_cuda({DeviceType::cuda, device}).pinned_memory(device); }
std::unique_ptr<CudaStream> make_copy_stream(int device) {
  return require_cuda({DeviceType::cuda, device}).make_copy_stream(device);
}
const NcclApi* nccl(std::string& why_none) {
  if (is_available()) return cuda_module().table->nccl(why_none);
  why_none = why_unavailable();
  return nullptr;
}

}  // namespace cuda
}  // namespace rstorch
