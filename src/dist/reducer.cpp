#include "dist/reducer.h"

#include <algorithm>
#include <chrono>
#include <unordered_map>
#include <utility>

#include "autograd/engine.h"
#include "base/error.h"

namespace rstorch::dist {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kWorthCutting = size_t(1) << 20;

double seconds_between(Clock::time_point begin, Clock::time_point end) {
  return std::chrono::duration<double>(end - begin).count();
}

// A range of a block's gradients.
struct Bucket {
  Tensor gradients;
  std::string what;
  std::vector<Tensor> parameters;
  size_t order = 0;    // of its first parameter among the model's, whose gradient arrives last
  size_t missing = 0;  // gradients of this pass that have not arrived
  WorkPtr work;
};

using Order = std::unordered_map<std::string, size_t>;

std::string names_of(const std::vector<optim::ParameterArena::Slot>& slots, size_t first, size_t last) {
  if (first == last) return format("gradient of {}", slots[first].name);
  return format("gradients of {} to {}", slots[last].name, slots[first].name);
}

// From its end to its beginning, in ranges of at most so many bytes, or of one parameter.
void cut(const optim::ParameterArena::Block& block, const Order& order, size_t least, size_t most,
         std::vector<Bucket>& out) {
  const std::vector<optim::ParameterArena::Slot>& slots = block.slots;
  const size_t element = size_of(block.gradients.dtype());
  int64_t end = block.gradients.numel();
  for (size_t last = slots.size(); last > 0;) {
    size_t first = last - 1;
    const auto bytes_from = [&](size_t slot) { return size_t(end - slots[slot].offset) * element; };
    while (first > 0 && (bytes_from(first) < least || bytes_from(first - 1) <= most)) --first;
    if (size_t(slots[first].offset) * element < least) first = 0;
    const int64_t begin = slots[first].offset;
    Bucket& bucket = out.emplace_back();
    bucket.gradients = block.gradients.part({end - begin}, begin);
    bucket.what = names_of(slots, first, last - 1);
    bucket.order = order.at(slots[first].name);
    for (size_t i = first; i < last; ++i) bucket.parameters.push_back(slots[i].parameter);
    end = begin;
    last = first;
  }
}

}  // namespace

struct Reducer::State : std::enable_shared_from_this<State> {
  // Of follow_backward(). Forgotten unfinished by a backward pass that throws.
  class Pass {
   public:
    explicit Pass(std::weak_ptr<State> state) : state_(std::move(state)) {}
    ~Pass() {
      if (const auto state = state_.lock()) state->give_up();
    }
    Pass(const Pass&) = delete;
    Pass& operator=(const Pass&) = delete;

    void finish() {
      const auto state = std::exchange(state_, {}).lock();
      if (!state) return;
      state->arena.collect_gradients();
      state->finish();
      state->summed();
    }

   private:
    std::weak_ptr<State> state_;
  };

  State(ProcessGroup& group, optim::ParameterArena& arena) : group(group), arena(arena) {}

  void begin() {
    active = true;
    next = open = 0;
    for (Bucket& bucket : buckets) bucket.missing = bucket.parameters.size();
  }

  void arrived(Bucket& bucket, const Tensor& parameter) {
    if (!active && wanted && wanted()) begin_pass();
    if (!active) return;
    optim::ParameterArena::collect_gradient(parameter);
    if (--bucket.missing == 0) {
      while (next < buckets.size() && buckets[next].missing == 0) start_next();
    }
    // Some backends make progress only when asked.
    while (open < next && buckets[open].work->done()) ++open;
  }

  void begin_pass() {
    at_end_of_backward([pass = std::make_shared<Pass>(weak_from_this())] { pass->finish(); });
    begin();
  }

  // After a pass that threw: the next one begins anew. What all ranks have begun is waited for, since it writes.
  void give_up() {
    active = false;
    try {
      for (size_t i = 0; i < next; ++i) buckets[i].work->wait();
    } catch (const Error&) {
      // The group is lost too; the error on its way says why this rank is out of step.
    }
    for (Bucket& bucket : buckets) bucket.work.reset();
  }

  void start_next() {
    Bucket& bucket = buckets[next];
    if (next == 0) began = Clock::now();
    bucket.work = group.start_all_reduce(bucket.gradients, ReduceOp::sum, bucket.what);
    ++next;
  }

  void finish() {
    active = false;
    const Clock::time_point begin = Clock::now();
    while (next < buckets.size()) start_next();
    for (Bucket& bucket : buckets) {
      bucket.work->wait();
      bucket.work.reset();
    }
    const Clock::time_point end = Clock::now();
    times = {seconds_between(began, end), seconds_between(begin, end)};
  }

  ProcessGroup& group;
  optim::ParameterArena& arena;
  std::vector<Bucket> buckets;
  size_t next = 0;  // the first that is not sent
  size_t open = 0;  // the first that is not known to be complete
  bool active = false;
  std::function<bool()> wanted;  // of follow_backward()
  std::function<void()> summed;
  Clock::time_point began;
  Times times;
};

Reducer::Reducer(ProcessGroup& group, optim::ParameterArena& arena, const nn::Module& model, size_t bucket_bytes)
    : state_(std::make_shared<State>(group, arena)) {
  Order order;
  for (const nn::NamedTensor& named : model.named_parameters()) order.emplace(named.name, order.size());
  size_t all_bytes = 0;
  for (const Tensor& gradients : arena.gradients()) all_bytes += gradients.bytes();
  const size_t most = std::min(bucket_bytes, std::max(all_bytes / 8, kWorthCutting));
  // So that an all-reduce has a line for each rank, and adds in the order of ranks alone (see the MPI module).
  const size_t least = 64 * size_t(group.size());
  std::vector<Bucket>& buckets = state_->buckets;
  for (const optim::ParameterArena::Block& block : arena.blocks()) cut(block, order, least, most, buckets);
  std::ranges::stable_sort(buckets, std::greater(), &Bucket::order);
  for (Bucket& bucket : buckets) {
    for (const Tensor& parameter : bucket.parameters) {
      const std::weak_ptr<State> weak = state_;
      parameter.register_post_accumulate_grad_hook([weak, &bucket](const Tensor& parameter) {
        if (const auto state = weak.lock()) state->arrived(bucket, parameter);
      });
    }
  }
}

void Reducer::begin() { state_->begin(); }
void Reducer::finish() { state_->finish(); }

void Reducer::follow_backward(std::function<bool()> wanted, std::function<void()> summed) {
  state_->wanted = std::move(wanted);
  state_->summed = std::move(summed);
}

size_t Reducer::bucket_count() const { return state_->buckets.size(); }
const Reducer::Times& Reducer::times() const { return state_->times; }

}  // namespace rstorch::dist
