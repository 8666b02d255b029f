// ProcessGroup: the ranks of a run, and what they tell each other.
//
//   const dist::WorkPtr work = group.start_all_reduce(gradients, dist::ReduceOp::sum, "gradients of conv1.weight");
//   ... compute something else ...
//   work->wait();
//
// All ranks make the same calls in the same order, each from one thread. Tensors are contiguous and belong to the
// collective until its wait() has returned. Results have the same bits on all ranks, and each time.
//
// Tensors of a CUDA device go over the device's own group where one is attached; else through pinned memory of the
// host, which waits for the device.
//
// A group of one rank has nothing to do and costs nothing.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "dist/watchdog.h"
#include "tensor/tensor.h"

namespace rstorch::dist {

enum class ReduceOp { sum, min, max };
bool is_reducible(DType dtype);  // f32, f64, i64, i32

// A collective under way. Destroying it before it is complete gives the group up.
class Work {
 public:
  virtual ~Work() = default;
  // Makes progress where the backend makes none by itself; true once the collective is complete. Throws DistError.
  virtual bool done() = 0;
  // Returns when it is. Throws DistError.
  virtual void wait();
  // A moment for whoever waits, and has since `waited`; ends when the collective is complete, or sooner.
  virtual void rest(std::chrono::nanoseconds waited);
};
using WorkPtr = std::unique_ptr<Work>;

// Takes collectives on CUDA tensors off a ProcessGroup: NCCL. They run on a queue of the device's own, after the work
// that was queued when they were started; wait() lets later work of the device wait, not the host. Works must not
// outlive it.
class DeviceGroup {
 public:
  virtual ~DeviceGroup() = default;
  virtual std::string name() const = 0;  // "NCCL 2.28.9"

  // A collective as an error names it: "all_reduce of gradients of 2.weight (2.1 MB), collective #12". `completed` is
  // called once it is complete, by any thread, whether or not somebody waits for it.
  struct Call {
    std::string what;
    std::function<void()> completed;
  };
  virtual WorkPtr all_reduce(Call call, void* data, size_t count, DType dtype, ReduceOp op) = 0;
  virtual WorkPtr broadcast(Call call, void* data, size_t bytes, int root) = 0;
  virtual WorkPtr all_gather(Call call, const void* mine, void* all, size_t bytes) = 0;
  // Throws DistError once a collective has failed.
  virtual void check() const = 0;
};

class ProcessGroup {
 public:
  virtual ~ProcessGroup() = default;
  ProcessGroup(const ProcessGroup&) = delete;
  ProcessGroup& operator=(const ProcessGroup&) = delete;

  int rank() const { return rank_; }
  int size() const { return size_; }
  bool is_root() const { return rank_ == 0; }  // the rank that writes and speaks for all
  virtual std::string_view backend() const = 0;
  // What carries tensors of a device: "NCCL 2.28.9" where a group of the device is attached, else backend().
  std::string carrier_of(Device device) const;
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
  // Throws RankLost, PeerFailed or DistError where the group is lost. Loads of atomics otherwise.
  void throw_if_lost() const;
  // From now on collectives on CUDA tensors are `device_group`'s; on all ranks at once.
  void attach(std::unique_ptr<DeviceGroup> device_group);
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
  // The same for one of the device's group.
  template <class F>
  WorkPtr on_device(std::string_view kind, const Tensor& x, std::string_view what, F&& start);
  // Numbers it and tells whoever watches. "all_reduce of gradients of 2.weight (2.1 MB), collective #12".
  std::string announce(std::string_view kind, DType dtype, size_t count, std::string_view what);
  bool uses_device_group(Device device) const { return device_group_ && !device.is_cpu(); }

  int rank_;
  int size_;
  uint64_t sequence_ = 0;  // collectives so far
  std::unique_ptr<Watchdog> watchdog_;
  std::unique_ptr<DeviceGroup> device_group_;  // tells the watchdog until it is gone
};
using GroupPtr = std::unique_ptr<ProcessGroup>;

// The group of this process alone.
GroupPtr single();

}  // namespace rstorch::dist
