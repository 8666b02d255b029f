// The group over MPI: all ranks of MPI_COMM_WORLD. Reductions are MPI's own; the same command gives the same bits,
// since the algorithm is pinned.
#include "dist/mpi/module.h"

#include <algorithm>
#include <chrono>
#include <climits>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include <mpi.h>

#include "base/error.h"
#include "base/quiet_thread.h"
#include "base/version.h"

namespace rstorch::dist {
namespace {

constexpr const char* kHint =
    "if another rank ended, what it wrote says why; else look at the network between the ranks: with "
    "OMPI_MCA_btl_base_verbose=30 MPI says how it uses it";

void check(int code, const char* call) {
  if (code == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING] = {};
  int length = 0;
  MPI_Error_string(code, text, &length);
  throw DistError(format("{}: {}", call, std::string(text, size_t(length))), kHint);
}

MPI_Datatype type_of(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return MPI_FLOAT;
    case DType::f64:
      return MPI_DOUBLE;
    case DType::i64:
      return MPI_INT64_T;
    default:  // of the dtypes that ranks reduce there is one left
      return MPI_INT32_T;
  }
}

MPI_Op op_of(ReduceOp op) { return op == ReduceOp::sum ? MPI_SUM : op == ReduceOp::min ? MPI_MIN : MPI_MAX; }

// MPI counts in int.
constexpr size_t kMostAtOnce = size_t(1) << 30;

template <class F>
std::vector<MPI_Request> in_pieces(size_t count, F&& start) {
  std::vector<MPI_Request> requests;
  for (size_t first = 0; first < count; first += kMostAtOnce) {
    start(first, int(std::min(kMostAtOnce, count - first)), &requests.emplace_back(MPI_REQUEST_NULL));
  }
  return requests;
}

// MPI moves data only while somebody calls it. So that collectives go on while the rank computes, a thread asks for
// those that are under way. Calls are made by one thread at a time, with the lock held.
class Progress {
 public:
  // A collective's requests. Its own memory, since the thread asks for it.
  struct Call {
    std::vector<MPI_Request> requests;
    bool done = false;
    int error = MPI_SUCCESS;

    void ask() {
      int complete = 0;
      error = MPI_Testall(int(requests.size()), requests.data(), &complete, MPI_STATUSES_IGNORE);
      done = complete != 0;
    }
  };

  Progress() : thread_(quiet_thread([this] { run(); })) {}
  ~Progress() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  [[nodiscard]] std::unique_lock<std::mutex> lock() { return std::unique_lock(mutex_); }
  // With the lock held. The call stays where it is until it is removed.
  void add(Call& call) {
    under_way_.push_back(&call);
    changed_.notify_all();
  }
  void remove(const Call& call) { std::erase(under_way_, &call); }

 private:
  void run() {
    constexpr auto kPause = std::chrono::milliseconds(1);  // a tenth of it slows the computation by a third
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [this] { return stopping_ || !under_way_.empty(); });
      if (stopping_) return;
      for (Call* const call : under_way_) call->ask();
      std::erase_if(under_way_, [](const Call* call) { return call->done || call->error != MPI_SUCCESS; });
      lock.unlock();
      std::this_thread::sleep_for(kPause);
      lock.lock();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Call*> under_way_;
  bool stopping_ = false;
  std::thread thread_;  // last: it uses all of the above
};

class MpiWork final : public Work {
 public:
  // The lock is held.
  MpiWork(Progress& progress, std::vector<MPI_Request> requests) : progress_(progress), call_{std::move(requests)} {
    progress_.add(call_);
  }
  ~MpiWork() override {
    const auto lock = progress_.lock();
    progress_.remove(call_);
  }
  MpiWork(const MpiWork&) = delete;
  MpiWork& operator=(const MpiWork&) = delete;

  bool done() override {
    const auto lock = progress_.lock();
    if (!call_.done && call_.error == MPI_SUCCESS) call_.ask();
    check(call_.error, "MPI_Testall");
    return call_.done;
  }

 private:
  Progress& progress_;
  Progress::Call call_;
};

class MpiGroup final : public ProcessGroup {
 public:
  MpiGroup(int rank, int size) : ProcessGroup(rank, size) {}
  std::string_view backend() const override { return "mpi"; }
  void leave() override {
    barrier("end of the run");
    progress_.reset();
    check(MPI_Finalize(), "MPI_Finalize");
  }

 private:
  WorkPtr reduce(void* data, size_t count, DType dtype, ReduceOp op) override {
    char* const bytes = static_cast<char*>(data);
    const auto lock = progress_->lock();
    return std::make_unique<MpiWork>(*progress_, in_pieces(count, [&](size_t first, int pieces, MPI_Request* request) {
      check(MPI_Iallreduce(MPI_IN_PLACE, bytes + first * size_of(dtype), pieces, type_of(dtype), op_of(op),
                           MPI_COMM_WORLD, request),
            "MPI_Iallreduce");
    }));
  }

  WorkPtr spread(void* data, size_t bytes, int root) override {
    const auto lock = progress_->lock();
    return std::make_unique<MpiWork>(*progress_, in_pieces(bytes, [&](size_t first, int count, MPI_Request* request) {
      check(MPI_Ibcast(static_cast<char*>(data) + first, count, MPI_BYTE, root, MPI_COMM_WORLD, request), "MPI_Ibcast");
    }));
  }

  WorkPtr gather(const void* mine, void* all, size_t bytes) override {
    // What is as long as a model's parameters comes in whole words. Open MPI counts those of all ranks together in int.
    const size_t unit = bytes % sizeof(int64_t) == 0 ? sizeof(int64_t) : 1;
    const MPI_Datatype type = unit == 1 ? MPI_BYTE : MPI_INT64_T;
    if (size_t(size()) * (bytes / unit) > INT_MAX) {
      throw DistError(
          format("{} bytes of each of {} ranks, wanted at most {} of all together", bytes, size(), unit * INT_MAX),
          format("gather less at once{}",
                 unit == 1 ? ", or a multiple of 8 bytes of each rank: 16 GB of those may go" : ""));
    }
    const bool in_place = mine == static_cast<char*>(all) + size_t(rank()) * bytes;
    const int count = int(bytes / unit);
    std::vector<MPI_Request> request = {MPI_REQUEST_NULL};
    const auto lock = progress_->lock();
    check(MPI_Iallgather(in_place ? MPI_IN_PLACE : mine, count, type, all, count, type, MPI_COMM_WORLD, request.data()),
          "MPI_Iallgather");
    return std::make_unique<MpiWork>(*progress_, std::move(request));
  }

  std::optional<Progress> progress_{std::in_place};
};

// Another algorithm adds in another order, and which one Open MPI would choose depends on sizes. With Rabenseifner's
// the order is one of ranks alone: it does not matter how gradients are cut into buckets. A ring's depends on the
// place.
void pin_algorithms() { setenv("OMPI_MCA_coll_libnbc_iallreduce_algorithm", "rabenseifner", 0); }

GroupPtr start() {
  pin_algorithms();
  int provided = 0, rank = 0, size = 1;
  check(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &provided), "MPI_Init_thread");
  if (provided < MPI_THREAD_SERIALIZED) throw DistError("this MPI cannot be called by more than one thread", "", 5);
  check(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  check(MPI_Comm_rank(MPI_COMM_WORLD, &rank), "MPI_Comm_rank");
  check(MPI_Comm_size(MPI_COMM_WORLD, &size), "MPI_Comm_size");
  return std::make_unique<MpiGroup>(rank, size);
}

std::string library() {
  char text[MPI_MAX_LIBRARY_VERSION_STRING] = {};
  int length = 0;
  MPI_Get_library_version(text, &length);
  std::string name(text, size_t(length));
  name = name.substr(0, name.find(','));  // "Open MPI v4.1.4, package: ..."
  if (const size_t v = name.rfind(" v"); v != name.npos) name.erase(v + 1, 1);
  return name;
}

}  // namespace
}  // namespace rstorch::dist

extern "C" __attribute__((visibility("default"))) const rstorch::dist::MpiModule* rstorch_mpi_module() {
  static const rstorch::dist::MpiModule table = {rstorch::kVersion, rstorch::dist::start, rstorch::dist::library};
  return &table;
}
