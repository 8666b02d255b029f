// ProcessGroup: the ranks of a run, and what they tell each other.
//
//   const dist::WorkPtr work = group.start_all_reduce(gradients, dist::ReduceOp::sum, "gradients of conv1.weight");
//   ... compute something else ...
//   work->wait();
//
// All ranks make the same calls in the same order, each from one thread. Tensors are contiguous and belong to the
// collective until its wait() has returned. Results have the same bits on all ranks, and each time.
//
// A group of one rank has nothing to do and costs nothing.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "dist/watchdog.h"
#include "tensor/tensor.h"

namespace rstorch::dist {

enum class ReduceOp { sum, min, max };

// A collective under way. Destroying it before it is complete gives the group up.
class Work {
 public:
  virtual ~Work() = default;
  // Makes progress where the backend makes none by itself; true once the collective is complete. Throws DistError.
  virtual bool done() = 0;
  // Returns when it is. Throws DistError.
  virtual void wait();
};
using WorkPtr = std::unique_ptr<Work>;

class ProcessGroup {
 public:
  virtual ~ProcessGroup() = default;
  ProcessGroup(const ProcessGroup&) = delete;
  ProcessGroup& operator=(const ProcessGroup&) = delete;

  int rank() const { return rank_; }
  int size() const { return size_; }
  bool is_root() const { return rank_ == 0; }  // the rank that writes and speaks for all
  virtual std::string_view backend() const = 0;
  virtual bool has_own_process() const { return true; }

  // In place; f32, f64, i64, i32. `what` is said when it goes wrong: "gradients of 2.weight and 2.bias".
  WorkPtr start_all_reduce(const Tensor& x, ReduceOp op, std::string_view what);
  void all_reduce(const Tensor& x, std::string_view what, ReduceOp op = ReduceOp::sum);
  // Rank `root`'s values go to all. Any dtype.
  void broadcast(const Tensor& x, std::string_view what, int root = 0);
  // `mine` of each rank, in their order: [size, ...]. Any dtype; one shape on all ranks.
  Tensor all_gather(const Tensor& mine, std::string_view what);
  // In place: `all` has one part for each rank, in their order and of one size, and each rank's own goes to all. Any
  // dtype.
  WorkPtr start_all_gather_in_place(const Tensor& all, std::string_view what);
  // No rank leaves before all have come.
  void barrier(std::string_view what);

  // The end, in good order: all ranks call it when they have nothing more to say to each other.
  virtual void leave() {}

  // From now on collectives throw RankLost or PeerFailed where a rank is lost, in place of waiting for ever.
  void watch(std::unique_ptr<Watchdog> watchdog);
  Watchdog* watchdog() { return watchdog_.get(); }  // null: nobody watches
  // While it lives the other ranks wait for this one without limit.
  std::unique_ptr<Watchdog::Busy> busy(std::string_view with);

  // Of the root; of any length.
  std::string broadcast_text(const std::string& text, std::string_view what);
  // Of all ranks, in their order.
  std::vector<std::string> gather_text(const std::string& text, std::string_view what);

 protected:
  ProcessGroup(int rank, int size) : rank_(rank), size_(size) {}

  // What a backend does, on memory that it can read: bytes of the CPU. `count` is in elements.
  virtual WorkPtr reduce(void* data, size_t count, DType dtype, ReduceOp op) = 0;
  virtual WorkPtr spread(void* data, size_t bytes, int root) = 0;
  virtual WorkPtr gather(const void* mine, void* all, size_t bytes) = 0;  // `mine` may be in its place in `all`

 private:
  // What a collective does: `start` starts it. For whoever watches, `what` and how much of it.
  template <class F>
  WorkPtr watched(std::string_view kind, DType dtype, size_t count, std::string_view what, F&& start);

  int rank_;
  int size_;
  uint64_t sequence_ = 0;  // collectives so far
  std::unique_ptr<Watchdog> watchdog_;
};
using GroupPtr = std::unique_ptr<ProcessGroup>;

// The group of this process alone.
GroupPtr single();

}  // namespace rstorch::dist
