#include "dist/nccl_group.h"

#include <atomic>
#include <condition_variable>
#include <deque>
#include <future>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "base/error.h"
#include "base/quiet_thread.h"

namespace rstorch::dist {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds kPause{1};
constexpr const char* kNcclHint = "NCCL_DEBUG=INFO shows what NCCL does; distributed.backend: mpi does without it";

// On a thread of its own, which is left to itself if it has not returned by then.
void run_for_at_most(milliseconds limit, std::function<void()> call) {
  std::packaged_task<void()> task(std::move(call));
  const std::future<void> returned = task.get_future();
  quiet_thread(std::move(task)).detach();
  returned.wait_for(limit);
}

NcclOp op_of(ReduceOp op) {
  return op == ReduceOp::sum ? NcclOp::sum : op == ReduceOp::min ? NcclOp::min : NcclOp::max;
}

// Events that are free again are taken again. Any thread may call.
class EventPool {
 public:
  EventPool(const NcclApi& api, int device) : api_(api), device_(device) {}

  NcclApi::Event take() {
    const std::lock_guard lock(mutex_);
    if (free_.empty()) return api_.make_event(device_);
    const NcclApi::Event event = free_.back();
    free_.pop_back();
    return event;
  }
  void give_back(NcclApi::Event event) {
    const std::lock_guard lock(mutex_);
    free_.push_back(event);
  }

 private:
  const NcclApi& api_;
  int device_;
  std::mutex mutex_;
  std::vector<NcclApi::Event> free_;
};

// A collective under way, and the event at its end.
struct Operation {
  Operation(DeviceGroup::Call call, EventPool& events) : call(std::move(call)), events(events), end(events.take()) {}
  ~Operation() { events.give_back(end); }
  Operation(const Operation&) = delete;
  Operation& operator=(const Operation&) = delete;

  DeviceGroup::Call call;
  EventPool& events;
  NcclApi::Event end;
};

}  // namespace

// One rank's end of NCCL and its queue. NCCL is called by one thread at a time, but for an abort of a call that hangs.
class NcclGroup::Communicator {
 public:
  Communicator(const NcclApi& api, const NcclApi::Id& id, const Options& options)
      : api_(api), options_(options), events_(api, options.device) {
    try {
      NcclApi::Comm comm = nullptr;
      const int code = api_.init_rank(comm, id, options_.size, options_.rank, options_.device);
      comm_ = comm;
      finish(code, format("NCCL {} connects the ranks", api_.version), options_.timeout);
      queue_ = api_.make_queue(options_.device);
      ready_ = api_.make_event(options_.device);
    } catch (...) {
      abort();
      throw;
    }
  }

  // Starts it behind the work that the calling thread has queued.
  template <class F>
  void start(const Operation& operation, F&& launch) {
    api_.record(ready_, options_.compute());
    api_.wait(queue_, ready_);
    const milliseconds limit = options_.watchdog ? milliseconds::max() : options_.timeout;
    finish(locked([&] { return launch(live(), queue_); }), operation.call.what, limit);
    api_.record(operation.end, queue_);
  }

  // What has gone wrong behind our back; empty while nothing has, or while another thread is in NCCL.
  std::string error() {
    const std::unique_lock lock(calls_, std::try_to_lock);
    if (!lock || !comm_) return {};
    const int state = current_state();
    return state == NcclApi::kDone || state == NcclApi::kInProgress ? std::string() : error_text(state);
  }

  void abort() { end(api_.abort); }
  void destroy() { end(api_.destroy); }

  const NcclApi& api() const { return api_; }
  const Options& options() const { return options_; }
  EventPool& events() { return events_; }

 private:
  template <class F>
  int locked(F&& call) {
    const std::lock_guard lock(calls_);
    return call();
  }

  // Waits until NCCL has taken the call that returned `code`: the first one of a kind makes connections. A collective
  // that somebody watches needs no limit: the watchdog names the rank that does not come, and waits for one that is
  // busy.
  void finish(int code, const std::string& what, milliseconds limit) {
    const Clock::time_point begin = Clock::now();
    while (code == NcclApi::kInProgress) {
      if (options_.watchdog) options_.watchdog->check();
      if (std::chrono::duration_cast<milliseconds>(Clock::now() - begin) > limit) {
        throw DistError(format("rank {}: {}: not done after {:.1f} s", options_.rank, what,
                               std::chrono::duration<double>(limit).count()),
                        kNcclHint, 6);
      }
      std::this_thread::sleep_for(kPause);
      code = locked([&] { return current_state(); });
    }
    if (code == NcclApi::kDone) return;
    throw DistError(format("rank {}: {}: {}", options_.rank, what, error_text(code)), kNcclHint, 6);
  }

  NcclApi::Comm live() const {
    if (NcclApi::Comm comm = comm_) return comm;
    throw DistError(format("rank {}: NCCL was aborted", options_.rank), kNcclHint, 6);
  }

  int current_state() {
    int state = NcclApi::kDone;
    const int code = api_.async_error(live(), state);
    return code == NcclApi::kDone ? state : code;
  }
  std::string error_text(int code) { return api_.error_text(comm_, code); }

  void end(int (*call)(NcclApi::Comm)) {
    const std::unique_lock lock(calls_, options_.ending);
    const NcclApi::Comm comm = comm_.exchange(nullptr);
    if (comm) run_for_at_most(options_.ending, [call, comm] { call(comm); });
  }

  const NcclApi& api_;
  const Options options_;
  std::atomic<NcclApi::Comm> comm_ = nullptr;  // null once it is ended
  EventPool events_;
  NcclApi::Queue queue_ = nullptr;
  NcclApi::Event ready_ = nullptr;  // what was queued before a collective is done
  std::timed_mutex calls_;
};

// The thread that follows what is under way.
class NcclGroup::Follower {
 public:
  explicit Follower(Communicator& communicator)
      : communicator_(communicator), thread_(quiet_thread([this] { run(); })) {}

  // Once what is under way is complete, or does not seem to become so: false then.
  bool stop() {
    {
      const std::lock_guard lock(mutex_);
      stop_by_ = Clock::now() + communicator_.options().ending;
    }
    changed_.notify_all();
    thread_.join();
    return !failed_ && under_way_.empty();
  }

  void follow(std::shared_ptr<Operation> operation) {
    {
      const std::lock_guard lock(mutex_);
      under_way_.push_back(std::move(operation));
    }
    changed_.notify_all();
  }

  void check() const {
    if (communicator_.options().watchdog) communicator_.options().watchdog->check();
    if (failed_) throw DistError(failure_, kNcclHint, 6);
  }

 private:
  void run() {
    std::unique_lock lock(mutex_);
    while (!failed_) {
      changed_.wait(lock, [&] { return stop_by_ || !under_way_.empty(); });
      if (under_way_.empty() || (stop_by_ && Clock::now() > *stop_by_)) return;
      const std::shared_ptr<Operation> first = under_way_.front();
      lock.unlock();
      const bool complete = look_at(*first);
      lock.lock();
      if (complete)
        under_way_.pop_front();
      else
        changed_.wait_for(lock, kPause);  // whoever waits for the result waits by itself; this is for the watchdog
    }
  }

  bool look_at(Operation& operation) {
    try {
      if (communicator_.api().reached(operation.end)) {
        operation.call.completed();
        return true;
      }
      const std::string error = communicator_.error();
      if (!error.empty()) give_up(operation, error);
    } catch (const Error& error) {
      give_up(operation, error.what());
    }
    const Watchdog* const watchdog = communicator_.options().watchdog;
    if (!failed_ && watchdog && watchdog->is_lost()) give_up(operation, "the group is lost");
    return false;
  }

  void give_up(const Operation& operation, const std::string& why) {
    failure_ = format("rank {}: {}: {}", communicator_.options().rank, operation.call.what, why);
    failed_ = true;
    communicator_.abort();
  }

  Communicator& communicator_;
  std::mutex mutex_;  // of what follows
  std::condition_variable changed_;
  std::deque<std::shared_ptr<Operation>> under_way_;
  std::optional<Clock::time_point> stop_by_;

  std::string failure_;  // written once, before failed_
  std::atomic<bool> failed_ = false;
  std::thread thread_;  // last: it uses all of the above
};

class NcclGroup::CollectiveWork final : public Work {
 public:
  CollectiveWork(NcclGroup& group, std::shared_ptr<Operation> operation)
      : group_(group), operation_(std::move(operation)) {}

  bool done() override {
    group_.check();
    return group_.communicator_->api().reached(operation_->end);
  }
  void wait() override {
    group_.check();
    group_.communicator_->api().wait(group_.communicator_->options().compute(), operation_->end);
  }

 private:
  NcclGroup& group_;
  std::shared_ptr<Operation> operation_;
};

NcclGroup::NcclGroup(const NcclApi& api, const NcclApi::Id& id, const Options& options)
    : communicator_(std::make_unique<Communicator>(api, id, options)),
      follower_(std::make_unique<Follower>(*communicator_)) {}

NcclGroup::~NcclGroup() {
  if (follower_->stop())
    communicator_->destroy();
  else
    communicator_->abort();
}

std::string NcclGroup::name() const { return "NCCL " + communicator_->api().version; }

template <class F>
WorkPtr NcclGroup::start(Call call, F&& launch) {
  check();
  const auto operation = std::make_shared<Operation>(std::move(call), communicator_->events());
  try {
    communicator_->start(*operation, launch);
  } catch (const Error&) {
    communicator_->abort();
    check();  // what the follower found is the cause
    throw;
  }
  follower_->follow(operation);
  return std::make_unique<CollectiveWork>(*this, operation);
}

WorkPtr NcclGroup::all_reduce(Call call, void* data, size_t count, DType dtype, ReduceOp op) {
  return start(std::move(call), [&](NcclApi::Comm comm, NcclApi::Queue queue) {
    return communicator_->api().all_reduce(comm, data, count, dtype, op_of(op), queue);
  });
}

WorkPtr NcclGroup::broadcast(Call call, void* data, size_t bytes, int root) {
  return start(std::move(call), [&](NcclApi::Comm comm, NcclApi::Queue queue) {
    return communicator_->api().broadcast(comm, data, bytes, root, queue);
  });
}

WorkPtr NcclGroup::all_gather(Call call, const void* mine, void* all, size_t bytes) {
  return start(std::move(call), [&](NcclApi::Comm comm, NcclApi::Queue queue) {
    return communicator_->api().all_gather(comm, mine, all, bytes, queue);
  });
}

void NcclGroup::check() const { follower_->check(); }

NcclApi::Id share_nccl_id(const NcclApi& api, ProcessGroup& group) {
  NcclApi::Id id{};
  if (group.is_root()) {
    const int code = api.unique_id(id);
    if (code != NcclApi::kDone) {
      throw DistError(
          format("rank 0: NCCL {} makes no id for the ranks: {}", api.version, api.error_text(nullptr, code)),
          kNcclHint, 6);
    }
  }
  group.broadcast(Tensor::wrap(id.data(), {int64_t(id.size())}, DType::u8, nullptr), "NCCL's id");
  return id;
}

}  // namespace rstorch::dist
