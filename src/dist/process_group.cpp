#include "dist/process_group.h"

#include <chrono>
#include <cstring>
#include <thread>

#include "base/error.h"
#include "dist/staging.h"
#include "tensor/runtime.h"

namespace rstorch::dist {
namespace {

class Done final : public Work {
 public:
  bool done() override { return true; }
  void wait() override {}
};

class SingleGroup final : public ProcessGroup {
 public:
  SingleGroup() : ProcessGroup(0, 1) {}
  std::string_view backend() const override { return "single"; }

 private:
  WorkPtr reduce(void*, size_t, DType, ReduceOp) override { return std::make_unique<Done>(); }
  WorkPtr spread(void*, size_t, int) override { return std::make_unique<Done>(); }
  WorkPtr gather(const void* mine, void* all, size_t bytes) override {
    if (mine != all) std::memcpy(all, mine, bytes);
    return std::make_unique<Done>();
  }
};

// What a backend says of a call of its own, with the collective that it is about. Where the watchdog finds the cause,
// that another rank started something else or died, that says more: it knows after two heartbeats.
template <class F>
auto explained(ProcessGroup& group, std::string_view collective, F&& call) {
  constexpr std::chrono::milliseconds kCauseFound{1000};
  try {
    return call();
  } catch (const DistError& error) {
    if (group.watchdog()->is_lost_within(kCauseFound)) group.throw_if_lost();
    throw DistError(format("rank {}: {}: {}", group.rank(), collective, error.what()), error.hint(),
                    error.code() % 100);
  }
}

// Tells the watchdog when the collective is complete, and asks whether the group is lost while it is not.
class WatchedWork final : public Work {
 public:
  WatchedWork(WorkPtr work, ProcessGroup& group, std::string collective, uint64_t sequence)
      : work_(std::move(work)), group_(group), collective_(std::move(collective)), sequence_(sequence) {}

  bool done() override {
    if (done_) return true;
    group_.throw_if_lost();
    done_ = explained(group_, collective_, [&] { return work_->done(); });
    if (done_) group_.watchdog()->completed(sequence_);
    return done_;
  }
  void rest(std::chrono::nanoseconds waited) override { work_->rest(waited); }

 private:
  WorkPtr work_;
  ProcessGroup& group_;
  std::string collective_;
  uint64_t sequence_;
  bool done_ = false;
};

std::string size_text(size_t bytes) {
  if (bytes < 1000) return format("{} bytes", bytes);
  if (bytes < 1'000'000) return format("{:.1f} kB", double(bytes) / 1e3);
  return format("{:.1f} MB", double(bytes) / 1e6);
}

// Says all that must be the same on all ranks beside the dtype and the count: for messages and the fingerprint.
std::string reduce_kind(ReduceOp op) {
  if (op == ReduceOp::sum) return "all_reduce";
  return op == ReduceOp::min ? "all_reduce (min)" : "all_reduce (max)";
}
std::string broadcast_kind(int root) { return root == 0 ? "broadcast" : format("broadcast from rank {}", root); }

// FNV-1a: the same on all machines.
uint64_t fingerprint_of(std::string_view kind, DType dtype, size_t count) {
  uint64_t hash = 0xcbf29ce484222325;
  const auto add = [&](uint64_t value) { hash = (hash ^ value) * 0x100000001b3; };
  for (const char c : kind) add(uint64_t(uint8_t(c)));
  add(uint64_t(dtype));
  add(count);
  return hash;
}

void require(const Tensor& x, std::string_view what) {
  if (!x.is_contiguous()) {
    throw ArgumentError(format("{}: a tensor of shape {} is not contiguous", what, x.shape().text()),
                        "exchange x.contiguous(), a copy of it");
  }
  if (x.device().is_meta()) {
    throw DeviceError(format("{}: a meta tensor has no values to exchange", what), "make it on the CPU or on a GPU");
  }
}

void* memory_of(const Tensor& x) { return x.mutable_view().data; }

}  // namespace

bool is_reducible(DType dtype) {
  return dtype == DType::f32 || dtype == DType::f64 || dtype == DType::i64 || dtype == DType::i32;
}

void Work::wait() {
  const auto begin = std::chrono::steady_clock::now();
  while (!done()) rest(std::chrono::steady_clock::now() - begin);
}

// At first without a pause, for ranks that are close; then with short ones, for those that share a processor.
void Work::rest(std::chrono::nanoseconds waited) {
  constexpr auto kPause = std::chrono::microseconds(50);
  if (waited > 4 * kPause) std::this_thread::sleep_for(kPause);
}

void ProcessGroup::watch(std::unique_ptr<Watchdog> watchdog) { watchdog_ = std::move(watchdog); }

void ProcessGroup::attach(std::unique_ptr<DeviceGroup> device_group) { device_group_ = std::move(device_group); }

std::string ProcessGroup::carrier_of(Device device) const {
  return uses_device_group(device) ? device_group_->name() : std::string(backend());
}

std::unique_ptr<Watchdog::Busy> ProcessGroup::busy(std::string_view with) {
  return watchdog_ ? std::make_unique<Watchdog::Busy>(*watchdog_, with) : nullptr;
}

void ProcessGroup::throw_if_lost() const {
  if (watchdog_) watchdog_->check();
  if (device_group_) device_group_->check();
}

std::string ProcessGroup::announce(std::string_view kind, DType dtype, size_t count, std::string_view what) {
  throw_if_lost();
  ++sequence_;
  const std::string text = format("{} of {} ({})", kind, what, size_text(count * size_of(dtype)));
  if (watchdog_) watchdog_->started(sequence_, fingerprint_of(kind, dtype, count), text);
  return format("{}, collective #{}", text, sequence_);
}

template <class F>
WorkPtr ProcessGroup::watched(std::string_view kind, DType dtype, size_t count, std::string_view what, F&& start) {
  std::string collective = announce(kind, dtype, count, what);
  if (!watchdog_) return start();
  WorkPtr work = explained(*this, collective, start);
  return std::make_unique<WatchedWork>(std::move(work), *this, std::move(collective), sequence_);
}

template <class F>
WorkPtr ProcessGroup::on_device(std::string_view kind, const Tensor& x, std::string_view what, F&& start) {
  std::string collective = announce(kind, x.dtype(), size_t(x.numel()), what);
  const auto completed = [watchdog = watchdog_.get(), sequence = sequence_] {
    if (watchdog) watchdog->completed(sequence);
  };
  return start(DeviceGroup::Call{std::move(collective), completed});
}

WorkPtr ProcessGroup::start_all_reduce(const Tensor& x, ReduceOp op, std::string_view what) {
  require(x, what);
  if (!is_reducible(x.dtype())) {
    throw DTypeError(format("{}: ranks reduce f32, f64, i64 and i32, not {}", what, name_of(x.dtype())),
                     is_floating(x.dtype()) ? "reduce x.to(DType::f32)" : "reduce x.to(DType::i32)");
  }
  if (size_ == 1 || x.numel() == 0) return std::make_unique<Done>();
  const size_t count = size_t(x.numel());
  if (uses_device_group(x.device())) {
    return on_device(reduce_kind(op), x, what, [&](DeviceGroup::Call call) {
      return device_group_->all_reduce(std::move(call), memory_of(x), count, x.dtype(), op);
    });
  }
  const Tensor host = on_host(x);
  WorkPtr work =
      watched(reduce_kind(op), x.dtype(), count, what, [&] { return reduce(memory_of(host), count, x.dtype(), op); });
  return back_to_device(std::move(work), host, x);
}

void ProcessGroup::all_reduce(const Tensor& x, std::string_view what, ReduceOp op) {
  start_all_reduce(x, op, what)->wait();
}

void ProcessGroup::broadcast(const Tensor& x, std::string_view what, int root) {
  require(x, what);
  if (size_ == 1 || x.numel() == 0) return;
  if (uses_device_group(x.device())) {
    return on_device(broadcast_kind(root), x, what,
                     [&](DeviceGroup::Call call) {
                       return device_group_->broadcast(std::move(call), memory_of(x), x.bytes(), root);
                     })
        ->wait();
  }
  const Tensor host = on_host(x);
  WorkPtr work = watched(broadcast_kind(root), x.dtype(), size_t(x.numel()), what,
                         [&] { return spread(memory_of(host), x.bytes(), root); });
  back_to_device(std::move(work), host, x)->wait();
}

Tensor ProcessGroup::all_gather(const Tensor& mine, std::string_view what) {
  require(mine, what);
  Shape shape = mine.shape();
  shape.insert(0, size_);
  Tensor all = Tensor::empty(shape, mine.options());
  if (mine.numel() == 0) return all;
  if (uses_device_group(mine.device())) {
    on_device("all_gather", mine, what, [&](DeviceGroup::Call call) {
      return device_group_->all_gather(std::move(call), mine.raw_data(), memory_of(all), mine.bytes());
    })->wait();
    return all;
  }
  const Tensor all_host = room_on_host(all), host = on_host(mine);
  WorkPtr work = watched("all_gather", mine.dtype(), size_t(mine.numel()), what,
                         [&] { return gather(host.raw_data(), memory_of(all_host), mine.bytes()); });
  back_to_device(std::move(work), all_host, all)->wait();
  return all;
}

WorkPtr ProcessGroup::start_all_gather_in_place(const Tensor& all, std::string_view what) {
  require(all, what);
  if (all.numel() % size_ != 0) {
    throw ArgumentError(format("{}: {} elements are not one part for each of {} ranks", what, all.numel(), size_),
                        "all parts have one size: pad the last");
  }
  if (size_ == 1 || all.numel() == 0) return std::make_unique<Done>();
  const size_t bytes = all.bytes() / size_t(size_);
  const auto mine_in = [&](void* memory) { return static_cast<char*>(memory) + size_t(rank_) * bytes; };
  if (uses_device_group(all.device())) {
    return on_device("all_gather", all, what, [&](DeviceGroup::Call call) {
      return device_group_->all_gather(std::move(call), mine_in(memory_of(all)), memory_of(all), bytes);
    });
  }
  const Tensor host = on_host(all);
  WorkPtr work = watched("all_gather", all.dtype(), size_t(all.numel()), what,
                         [&] { return gather(mine_in(memory_of(host)), memory_of(host), bytes); });
  return back_to_device(std::move(work), host, all);
}

// Of memory on the stack, so that it also works when the program ends and the thread's streams are gone.
void ProcessGroup::barrier(std::string_view what) {
  float nothing = 0;
  all_reduce(Tensor::wrap(&nothing, {1}, DType::f32, nullptr), what);
}

std::string ProcessGroup::broadcast_text(const std::string& text, std::string_view what) {
  if (size_ == 1) return text;
  const Tensor length = Tensor::full({1}, int64_t(text.size()), {.dtype = DType::i64});
  broadcast(length, what);
  std::string out = text;
  out.resize(size_t(length.item<int64_t>()));
  if (!out.empty()) broadcast(Tensor::wrap(out.data(), {int64_t(out.size())}, DType::u8, nullptr), what);
  return out;
}

std::vector<std::string> ProcessGroup::gather_text(const std::string& text, std::string_view what) {
  const Tensor longest = Tensor::full({1}, int64_t(text.size()), {.dtype = DType::i64});
  all_reduce(longest, what, ReduceOp::max);
  std::string padded = text;
  padded.resize(size_t(longest.item<int64_t>()));
  const auto row = [](std::string& bytes) {
    return Tensor::wrap(bytes.data(), {int64_t(bytes.size())}, DType::u8, nullptr);
  };
  const Tensor sizes = all_gather(Tensor::full({1}, int64_t(text.size()), {.dtype = DType::i64}), what);
  const Tensor rows = all_gather(row(padded), what);
  std::vector<std::string> out;
  for (int rank = 0; rank < size_; ++rank) {
    const char* const begin = reinterpret_cast<const char*>(rows.data<uint8_t>()) + size_t(rank) * padded.size();
    out.emplace_back(begin, size_t(sizes.data<int64_t>()[rank]));
  }
  return out;
}

GroupPtr single() { return std::make_unique<SingleGroup>(); }

}  // namespace rstorch::dist
