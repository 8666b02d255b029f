// NCCL, and the streams and events that it needs, as one table of functions: the program includes no header of NVIDIA's
// and links nothing of it, and a test puts a script in NCCL's place. rstorch_cuda.so fills it, in
// kernels/cuda/open_nccl.cpp.
//
// Communicators do not block: what takes time returns kInProgress, and async_error() tells when it is over. Streams and
// events live as long as the process.
#pragma once

#include <array>
#include <cstddef>
#include <string>

#include "base/dtype.h"

namespace rstorch {

enum class NcclOp { sum, min, max };

struct NcclApi {
  using Id = std::array<char, 128>;
  using Comm = struct NcclComm*;    // ncclComm_t
  using Queue = struct NcclQueue*;  // cudaStream_t
  using Event = struct NcclEvent*;  // cudaEvent_t and its device

  // What NCCL's functions return; anything else is an error.
  static constexpr int kDone = 0;
  static constexpr int kInProgress = 7;

  std::string version;  // "2.28.9"
  int (*unique_id)(Id& id);
  int (*init_rank)(Comm& comm, const Id& id, int size, int rank, int device);
  int (*async_error)(Comm comm, int& state);
  int (*all_reduce)(Comm comm, void* data, size_t count, DType dtype, NcclOp op, Queue queue);
  int (*broadcast)(Comm comm, void* data, size_t bytes, int root, Queue queue);
  int (*all_gather)(Comm comm, const void* mine, void* all, size_t bytes, Queue queue);
  int (*abort)(Comm comm);    // ends what is under way; may hang
  int (*destroy)(Comm comm);  // waits for what is under way
  // "remote process exited or there was a network error (6)" and what else NCCL knows; of a communicator or null.
  std::string (*error_text)(Comm comm, int code);

  // CUDA's own; they throw DeviceError.
  Queue (*make_queue)(int device);
  Event (*make_event)(int device);
  void (*record)(Event event, Queue queue);
  void (*wait)(Queue queue, Event event);  // later work of the queue waits, not the host
  bool (*reached)(Event event);
};

}  // namespace rstorch
