#include "dist/thread_group.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <exception>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include <omp.h>

#include "base/error.h"

namespace rstorch::dist {
namespace {

constexpr const char* kSameCallsHint =
    "all ranks must make the same calls in the same order, and wait for what they started";

// What the n-th call of a rank wants.
struct Call {
  enum class Kind { reduce, spread, gather } kind = Kind::reduce;
  void* to = nullptr;
  const void* from = nullptr;
  size_t count = 0;  // elements to reduce, else bytes
  DType dtype = DType::u8;
  ReduceOp op = ReduceOp::sum;
  int root = 0;

  bool fits(const Call& other) const {
    return kind == other.kind && count == other.count && dtype == other.dtype && op == other.op && root == other.root;
  }

  std::string text() const {
    switch (kind) {
      case Kind::reduce:
        return format("all_reduce ({}) of {} {}",
                      op == ReduceOp::sum   ? "sum"
                      : op == ReduceOp::min ? "min"
                                            : "max",
                      count, name_of(dtype));
      case Kind::spread:
        return format("broadcast of {} bytes from rank {}", count, root);
      case Kind::gather:
        break;
    }
    return format("all_gather of {} bytes", count);
  }
};

template <class T>
T combine(ReduceOp op, T a, T b) {
  switch (op) {
    case ReduceOp::min:
      return std::min(a, b);
    case ReduceOp::max:
      return std::max(a, b);
    case ReduceOp::sum:
      break;
  }
  return a + b;
}

// In the order of the ranks.
template <class T>
void reduce_as(const std::vector<Call>& calls) {
  T* const total = static_cast<T*>(calls[0].to);
  const size_t count = calls[0].count;
  for (size_t rank = 1; rank < calls.size(); ++rank) {
    const T* const part = static_cast<const T*>(calls[rank].to);
    for (size_t i = 0; i < count; ++i) total[i] = combine(calls[0].op, total[i], part[i]);
  }
  for (size_t rank = 1; rank < calls.size(); ++rank) std::memcpy(calls[rank].to, total, count * sizeof(T));
}

void reduce_all(const std::vector<Call>& calls) {
  switch (calls[0].dtype) {
    case DType::f64:
      return reduce_as<double>(calls);
    case DType::i64:
      return reduce_as<int64_t>(calls);
    case DType::i32:
      return reduce_as<int32_t>(calls);
    default:
      return reduce_as<float>(calls);
  }
}

void run(const std::vector<Call>& calls) {
  const Call& first = calls[0];
  switch (first.kind) {
    case Call::Kind::reduce:
      return reduce_all(calls);
    case Call::Kind::spread:
      for (size_t rank = 0; rank < calls.size(); ++rank) {
        if (int(rank) != first.root) std::memcpy(calls[rank].to, calls[size_t(first.root)].to, first.count);
      }
      return;
    case Call::Kind::gather:
      for (const Call& to : calls) {
        for (size_t rank = 0; rank < calls.size(); ++rank) {
          char* const place = static_cast<char*>(to.to) + rank * first.count;
          if (place != calls[rank].from) std::memcpy(place, calls[rank].from, first.count);
        }
      }
  }
}

// This rank cannot go on because of another one, whose exception is the cause.
struct GaveUp : DistError {
  using DistError::DistError;
};

// Where the ranks meet. The last to come does the work of all: nobody touches its tensors before that.
class Meeting {
 public:
  explicit Meeting(int size) : size_(size_t(size)) {}

  void arrive(uint64_t number, int rank, const Call& call) {
    const std::lock_guard lock(mutex_);
    Round& round = rounds_[number];
    if (round.calls.empty()) round.calls.resize(size_);
    round.calls[size_t(rank)] = call;
    if (++round.arrived < size_ || round.left > 0) return;  // whose tensors may be gone
    const auto odd = std::ranges::find_if(round.calls, [&](const Call& each) { return !each.fits(round.calls[0]); });
    round.complete = odd == round.calls.end();
    if (round.complete)
      run(round.calls);
    else
      give_up_locked(format("the ranks call different collectives, or with different sizes: rank 0 {}, rank {} {}",
                            round.calls[0].text(), odd - round.calls.begin(), odd->text()));
    changed_.notify_all();
  }

  bool is_complete(uint64_t number) {
    const std::lock_guard lock(mutex_);
    return complete_locked(number);
  }

  void wait_a_moment(uint64_t number) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::milliseconds(10), [&] { return rounds_[number].complete || !lost_.empty(); });
  }

  // This rank needs the outcome no more. False: there is none, and will be none.
  bool leave(uint64_t number) {
    const std::lock_guard lock(mutex_);
    Round& round = rounds_[number];
    const bool complete = round.complete;
    if (++round.left == size_) rounds_.erase(number);
    return complete;
  }

  // Whoever waits, or will, throws.
  void give_up(const std::string& why) {
    const std::lock_guard lock(mutex_);
    give_up_locked(why);
  }

 private:
  struct Round {
    std::vector<Call> calls;
    size_t arrived = 0;
    size_t left = 0;
    bool complete = false;
  };

  bool complete_locked(uint64_t number) {
    const auto round = rounds_.find(number);
    if (round != rounds_.end() && round->second.complete) return true;
    if (!lost_.empty()) throw GaveUp(lost_, kSameCallsHint);
    return false;
  }

  void give_up_locked(const std::string& why) {
    if (lost_.empty()) lost_ = why;
    changed_.notify_all();
  }

  size_t size_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<uint64_t, Round> rounds_;
  std::string lost_;
};

class ThreadWork final : public Work {
 public:
  ThreadWork(Meeting& meeting, ProcessGroup& group, uint64_t number)
      : meeting_(meeting), group_(group), number_(number) {}
  // A watchdog tells the others why.
  ~ThreadWork() override {
    if (!meeting_.leave(number_) && !group_.watchdog()) meeting_.give_up("another rank gave up");
  }
  ThreadWork(const ThreadWork&) = delete;
  ThreadWork& operator=(const ThreadWork&) = delete;
  bool done() override { return meeting_.is_complete(number_); }
  void rest(std::chrono::nanoseconds) override { meeting_.wait_a_moment(number_); }

 private:
  Meeting& meeting_;
  ProcessGroup& group_;
  uint64_t number_;
};

class ThreadGroup final : public ProcessGroup {
 public:
  ThreadGroup(Meeting& meeting, int rank, int size) : ProcessGroup(rank, size), meeting_(meeting) {}
  std::string_view backend() const override { return "threads"; }
  bool has_own_process() const override { return false; }

 private:
  WorkPtr reduce(void* data, size_t count, DType dtype, ReduceOp op) override {
    return call({.kind = Call::Kind::reduce, .to = data, .count = count, .dtype = dtype, .op = op});
  }
  WorkPtr spread(void* data, size_t bytes, int root) override {
    return call({.kind = Call::Kind::spread, .to = data, .count = bytes, .root = root});
  }
  WorkPtr gather(const void* mine, void* all, size_t bytes) override {
    return call({.kind = Call::Kind::gather, .to = all, .from = mine, .count = bytes});
  }

  WorkPtr call(const Call& call) {
    const uint64_t number = next_++;
    meeting_.arrive(number, rank(), call);
    return std::make_unique<ThreadWork>(meeting_, *this, number);
  }

  Meeting& meeting_;
  uint64_t next_ = 0;
};

}  // namespace

void run_ranks(int size, const std::function<void(ProcessGroup& group)>& rank) {
  if (size < 1) throw ArgumentError(format("{} ranks, wanted 1 or more", size));
  const int threads = std::max(1, omp_get_max_threads() / size);
  Meeting meeting(size);
  std::mutex mutex;
  std::exception_ptr cause, consequence;  // the first of each
  const auto run_one = [&](int number) {
    omp_set_num_threads(threads);
    try {
      ThreadGroup group(meeting, number, size);
      rank(group);
    } catch (const GaveUp&) {
      const std::lock_guard lock(mutex);
      if (!consequence) consequence = std::current_exception();
    } catch (...) {
      const std::lock_guard lock(mutex);
      if (!cause) cause = std::current_exception();
      meeting.give_up(format("rank {} failed", number));
    }
  };
  std::vector<std::jthread> ranks;
  for (int number = 0; number < size; ++number) ranks.emplace_back(run_one, number);
  ranks.clear();  // joins
  if (cause) std::rethrow_exception(cause);
  if (consequence) std::rethrow_exception(consequence);
}

}  // namespace rstorch::dist
