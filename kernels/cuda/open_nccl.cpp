#include "kernels/cuda/open_nccl.h"

#include <chrono>
#include <cstring>
#include <memory>
#include <thread>

#include <cuda_runtime_api.h>
#include <dlfcn.h>
#include <nccl.h>

#include "base/error.h"
#include "kernels/cuda/check.h"

namespace rstorch::kernels {
namespace {

constexpr const char* kLibrary = "libnccl.so.2";
constexpr int kOldest = NCCL_VERSION(2, 14, 0);  // the first with communicators that do not block

static_assert(sizeof(ncclUniqueId) == sizeof(NcclApi::Id));
static_assert(int(ncclSuccess) == NcclApi::kDone && int(ncclInProgress) == NcclApi::kInProgress);

// What is called of the library.
struct Library {
  decltype(&ncclGetVersion) get_version;
  decltype(&ncclGetUniqueId) get_unique_id;
  decltype(&ncclCommInitRankConfig) init_rank;
  decltype(&ncclCommGetAsyncError) async_error;
  decltype(&ncclAllReduce) all_reduce;
  decltype(&ncclBroadcast) broadcast;
  decltype(&ncclAllGather) all_gather;
  decltype(&ncclCommAbort) abort;
  decltype(&ncclCommFinalize) finalize;
  decltype(&ncclCommDestroy) destroy;
  decltype(&ncclGetErrorString) error_string;
  decltype(&ncclGetLastError) last_error;
};
Library library;

template <class F>
bool find(void* from, const char* name, F& function) {
  function = reinterpret_cast<F>(dlsym(from, name));
  return function != nullptr;
}

bool find_all(void* from) {
  return find(from, "ncclGetVersion", library.get_version) && find(from, "ncclGetUniqueId", library.get_unique_id) &&
         find(from, "ncclCommInitRankConfig", library.init_rank) &&
         find(from, "ncclCommGetAsyncError", library.async_error) && find(from, "ncclAllReduce", library.all_reduce) &&
         find(from, "ncclBroadcast", library.broadcast) && find(from, "ncclAllGather", library.all_gather) &&
         find(from, "ncclCommAbort", library.abort) && find(from, "ncclCommFinalize", library.finalize) &&
         find(from, "ncclCommDestroy", library.destroy) && find(from, "ncclGetErrorString", library.error_string) &&
         find(from, "ncclGetLastError", library.last_error);
}

ncclComm_t of(NcclApi::Comm comm) { return reinterpret_cast<ncclComm_t>(comm); }
cudaStream_t of(NcclApi::Queue queue) { return reinterpret_cast<cudaStream_t>(queue); }

ncclDataType_t type_of(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return ncclFloat32;
    case DType::f64:
      return ncclFloat64;
    case DType::i64:
      return ncclInt64;
    default:  // of the dtypes that ranks reduce there is one left
      return ncclInt32;
  }
}

ncclRedOp_t op_of(NcclOp op) { return op == NcclOp::sum ? ncclSum : op == NcclOp::min ? ncclMin : ncclMax; }

int unique_id(NcclApi::Id& id) {
  ncclUniqueId made;
  const ncclResult_t code = library.get_unique_id(&made);
  std::memcpy(id.data(), &made, sizeof made);
  return code;
}

int init_rank(NcclApi::Comm& comm, const NcclApi::Id& id, int size, int rank, int device) {
  check(cudaSetDevice(device), "cudaSetDevice");
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
  ncclUniqueId known;
  std::memcpy(&known, id.data(), sizeof known);
  ncclComm_t made = nullptr;
  const ncclResult_t code = library.init_rank(&made, size, known, rank, &config);
  comm = reinterpret_cast<NcclApi::Comm>(made);
  return code;
}

int async_error(NcclApi::Comm comm, int& state) {
  ncclResult_t found = ncclSuccess;
  const ncclResult_t code = library.async_error(of(comm), &found);
  state = found;
  return code;
}

int all_reduce(NcclApi::Comm comm, void* data, size_t count, DType dtype, NcclOp op, NcclApi::Queue queue) {
  return library.all_reduce(data, data, count, type_of(dtype), op_of(op), of(comm), of(queue));
}

int broadcast(NcclApi::Comm comm, void* data, size_t bytes, int root, NcclApi::Queue queue) {
  return library.broadcast(data, data, bytes, ncclUint8, root, of(comm), of(queue));
}

int all_gather(NcclApi::Comm comm, const void* mine, void* all, size_t bytes, NcclApi::Queue queue) {
  return library.all_gather(mine, all, bytes, ncclUint8, of(comm), of(queue));
}

int abort(NcclApi::Comm comm) { return library.abort(of(comm)); }

// In two steps, as NCCL wants it of communicators that do not block.
int destroy(NcclApi::Comm comm) {
  ncclResult_t state = library.finalize(of(comm));
  while (state == ncclInProgress && library.async_error(of(comm), &state) == ncclSuccess) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return library.destroy(of(comm));
}

std::string error_text(NcclApi::Comm comm, int code) {
  const std::string text = format("{} ({})", library.error_string(ncclResult_t(code)), code);
  const char* const last = library.last_error(of(comm));
  return last && *last ? format("{}: {}", text, last) : text;
}

struct Event {
  int device;
  cudaEvent_t event;
};
const Event& of(NcclApi::Event event) { return *reinterpret_cast<const Event*>(event); }

NcclApi::Queue make_queue(int device) {
  check(cudaSetDevice(device), "cudaSetDevice");
  cudaStream_t stream = nullptr;
  check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
  return reinterpret_cast<NcclApi::Queue>(stream);
}

NcclApi::Event make_event(int device) {
  check(cudaSetDevice(device), "cudaSetDevice");
  auto made = std::make_unique<Event>(Event{device, nullptr});
  check(cudaEventCreateWithFlags(&made->event, cudaEventDisableTiming), "cudaEventCreateWithFlags");
  return reinterpret_cast<NcclApi::Event>(made.release());
}

void record(NcclApi::Event event, NcclApi::Queue queue) {
  check(cudaEventRecord(of(event).event, of(queue)), "cudaEventRecord");
}

void wait(NcclApi::Queue queue, NcclApi::Event event) {
  check(cudaStreamWaitEvent(of(queue), of(event).event, 0), "cudaStreamWaitEvent");
}

// A thread whose first call this is would else make a context on device 0.
bool reached(NcclApi::Event event) {
  check(cudaSetDevice(of(event).device), "cudaSetDevice");
  const cudaError_t code = cudaEventQuery(of(event).event);
  if (code == cudaErrorNotReady) return false;
  check(code, "cudaEventQuery");
  return true;
}

struct Opened {
  NcclApi api;
  std::string why_none;
};

Opened open() {
  void* const opened = dlopen(kLibrary, RTLD_NOW | RTLD_LOCAL);  // never closed
  if (opened == nullptr) {
    const char* const reason = dlerror();
    return {{}, format("NCCL cannot be opened: {}", reason ? reason : kLibrary)};
  }
  if (!find_all(opened)) return {{}, format("{} lacks functions of NCCL 2.14", kLibrary)};
  int number = 0;
  library.get_version(&number);
  const std::string version = format("{}.{}.{}", number / 10000, number % 10000 / 100, number % 100);
  if (number < kOldest) return {{}, format("NCCL is {}, wanted 2.14 or newer", version)};
  return {{version, unique_id, init_rank, async_error, all_reduce, broadcast, all_gather, abort, destroy, error_text,
           make_queue, make_event, record, wait, reached},
          {}};
}

}  // namespace

const NcclApi* open_nccl(std::string& why_none) {
  static const Opened opened = open();
  why_none = opened.why_none;
  return why_none.empty() ? &opened.api : nullptr;
}

}  // namespace rstorch::kernels
