// NCCL and CUDA's queues played by threads of one process, so that what NCCL may do to us can be written down: ranks
// that never connect, collectives that never end, errors, an abort that hangs.
//
// A queue is done with its work at once, as everything in the fake CUDA is: to make it wait for an event is to wait.
#pragma once

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <pthread.h>

#include "base/nccl_api.h"

namespace rstorch {

// One collective of all ranks.
struct ScriptedRound {
  struct Part {
    void* data;
    const void* from;
  };
  std::vector<Part> parts;
  size_t arrived = 0;
  std::atomic<bool> complete = false;
};

}  // namespace rstorch

struct rstorch::NcclQueue {
  int device = 0;
  bool is_ours = true;                     // the communication queue; else the one of computations
  rstorch::ScriptedRound* last = nullptr;  // what was queued last
};
struct rstorch::NcclEvent {
  rstorch::ScriptedRound* after = nullptr;
};
struct rstorch::NcclComm {
  int rank = 0;
  size_t next_round = 0;
  int polls = 0;  // of async_error() since the last call
  std::atomic<bool> aborted = false;
};

namespace rstorch {

// The one script of a test; device numbers are ranks.
struct ScriptedNccl {
  // What goes wrong.
  int id_code = 0;
  int init_code = NcclApi::kInProgress;   // what init_rank returns
  std::atomic<int> polls_until_done = 3;  // of async_error(), until a call that is in progress is done; -1: for ever
  std::atomic<int> collective_code = 0;
  bool collectives_hang = false;
  std::atomic<int> async_code = 0;  // of a remote error
  bool abort_hangs = false;

  // From now on, until polls_until_done says otherwise.
  void never_taken() {
    polls_until_done = -1;
    collective_code = NcclApi::kInProgress;
  }

  // What was seen.
  std::atomic<int> aborts = 0, destroys = 0, events = 0;
  std::atomic<int> aborts_with_signals = 0;  // on threads that take the user's signals
  std::vector<std::string> calls() {
    const std::lock_guard lock(mutex);
    return log;
  }

  std::mutex mutex;
  std::vector<std::string> log;  // of rank 0
  size_t size = 1;
  std::deque<ScriptedRound> rounds;
  std::deque<NcclComm> comms;
  std::deque<NcclQueue> queues;
  std::deque<NcclEvent> all_events;
  std::map<int, NcclQueue> compute;

  void saw(int rank, const std::string& call) {
    if (rank == 0) log.push_back(call);
  }
  NcclQueue* compute_queue(int rank) {
    const std::lock_guard lock(mutex);
    NcclQueue& queue = compute[rank];
    queue.device = rank;
    queue.is_ours = false;
    return &queue;
  }
  bool is_aborted(int rank) {
    const std::lock_guard lock(mutex);
    for (const NcclComm& comm : comms) {
      if (comm.rank == rank && comm.aborted) return true;
    }
    return false;
  }

  int collective(NcclComm* comm, NcclQueue* queue, const char* name, const ScriptedRound::Part& part,
                 const std::function<void(std::vector<ScriptedRound::Part>&)>& compute_all) {
    const std::lock_guard lock(mutex);
    saw(comm->rank, name);
    if (collective_code != 0 && collective_code != NcclApi::kInProgress) return collective_code;
    comm->polls = 0;
    const size_t number = comm->next_round++;
    while (rounds.size() <= number) rounds.emplace_back();
    ScriptedRound& round = rounds[number];
    round.parts.resize(size);
    round.parts[size_t(comm->rank)] = part;
    queue->last = &round;
    if (++round.arrived == size && !collectives_hang) {
      compute_all(round.parts);
      round.complete = true;
    }
    return collective_code;
  }

  static NcclApi api();
};

inline std::unique_ptr<ScriptedNccl> nccl_script;  // functions without a state of their own need a place for it

namespace scripted {

template <class T>
void reduce_as(std::vector<ScriptedRound::Part>& parts, size_t count, NcclOp op) {
  for (size_t i = 0; i < count; ++i) {
    T total = static_cast<T*>(parts[0].data)[i];
    for (size_t rank = 1; rank < parts.size(); ++rank) {
      const T next = static_cast<T*>(parts[rank].data)[i];
      total = op == NcclOp::sum ? total + next : op == NcclOp::min ? std::min(total, next) : std::max(total, next);
    }
    for (const ScriptedRound::Part& part : parts) static_cast<T*>(part.data)[i] = total;
  }
}

inline int all_reduce(NcclComm* comm, void* data, size_t count, DType dtype, NcclOp op, NcclQueue* queue) {
  return nccl_script->collective(comm, queue, "all_reduce", {data, data}, [=](std::vector<ScriptedRound::Part>& parts) {
    dtype == DType::f64   ? reduce_as<double>(parts, count, op)
    : dtype == DType::i64 ? reduce_as<int64_t>(parts, count, op)
    : dtype == DType::i32 ? reduce_as<int32_t>(parts, count, op)
                          : reduce_as<float>(parts, count, op);
  });
}

inline int broadcast(NcclComm* comm, void* data, size_t bytes, int root, NcclQueue* queue) {
  return nccl_script->collective(comm, queue, "broadcast", {data, data}, [=](std::vector<ScriptedRound::Part>& parts) {
    for (const ScriptedRound::Part& part : parts) std::memmove(part.data, parts[size_t(root)].data, bytes);
  });
}

inline int all_gather(NcclComm* comm, const void* mine, void* all, size_t bytes, NcclQueue* queue) {
  return nccl_script->collective(comm, queue, "all_gather", {all, mine}, [=](std::vector<ScriptedRound::Part>& parts) {
    for (const ScriptedRound::Part& to : parts) {
      for (size_t rank = 0; rank < parts.size(); ++rank) {
        char* const place = static_cast<char*>(to.data) + rank * bytes;
        if (place != parts[rank].from) std::memcpy(place, parts[rank].from, bytes);
      }
    }
  });
}

inline int init_rank(NcclComm*& comm, const NcclApi::Id& id, int size, int rank, int) {
  const std::lock_guard lock(nccl_script->mutex);
  comm = &nccl_script->comms.emplace_back();
  comm->rank = rank;
  nccl_script->size = size_t(size);
  return id[0] == 'i' ? nccl_script->init_code : 5;  // rank 0's id has not come
}

inline int async_error(NcclComm* comm, int& state) {
  const std::lock_guard lock(nccl_script->mutex);
  const bool done = nccl_script->polls_until_done >= 0 && comm->polls >= nccl_script->polls_until_done;
  ++comm->polls;
  state = nccl_script->async_code ? nccl_script->async_code.load() : done ? NcclApi::kDone : NcclApi::kInProgress;
  return NcclApi::kDone;
}

// Whether the calling thread's is one that a signal may interrupt.
inline bool takes_signals() {
  sigset_t blocked;
  pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
  return sigismember(&blocked, SIGINT) == 0;
}

inline int abort(NcclComm* comm) {
  nccl_script->aborts_with_signals += takes_signals();
  const bool hangs = nccl_script->abort_hangs;
  if (!hangs) comm->aborted = true;
  ++nccl_script->aborts;
  if (hangs) std::this_thread::sleep_for(std::chrono::hours(1));
  return NcclApi::kDone;
}

inline bool reached(NcclEvent* event) { return !event->after || event->after->complete; }

inline void wait(NcclQueue* queue, NcclEvent* event) {
  {
    const std::lock_guard lock(nccl_script->mutex);
    nccl_script->saw(queue->device,
                     queue->is_ours ? "NCCL waits for the computation" : "the computation waits for NCCL");
  }
  const auto patience = std::chrono::steady_clock::now() + std::chrono::seconds(20);  // a device has none
  while (!reached(event) && !nccl_script->is_aborted(queue->device) && std::chrono::steady_clock::now() < patience) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

inline void record(NcclEvent* event, NcclQueue* queue) {
  const std::lock_guard lock(nccl_script->mutex);
  event->after = queue->last;
}

}  // namespace scripted

inline NcclApi ScriptedNccl::api() {
  return {"2.0.0",
          [](NcclApi::Id& id) {
            id.fill('i');
            return nccl_script->id_code;
          },
          scripted::init_rank,
          scripted::async_error,
          scripted::all_reduce,
          scripted::broadcast,
          scripted::all_gather,
          scripted::abort,
          [](NcclComm*) {
            ++nccl_script->destroys;
            return NcclApi::kDone;
          },
          [](NcclComm*, int code) { return "scripted error (" + std::to_string(code) + ")"; },
          [](int device) {
            const std::lock_guard lock(nccl_script->mutex);
            NcclQueue* const made = &nccl_script->queues.emplace_back();
            made->device = device;
            return made;
          },
          [](int) {
            const std::lock_guard lock(nccl_script->mutex);
            ++nccl_script->events;
            return &nccl_script->all_events.emplace_back();
          },
          scripted::record,
          scripted::wait,
          scripted::reached};
}

}  // namespace rstorch
