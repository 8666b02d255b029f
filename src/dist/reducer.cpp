#include "dist/reducer.h"

#include <algorithm>
#include <chrono>
#include <functional>

#include "base/error.h"

namespace rstorch::dist {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_between(Clock::time_point begin, Clock::time_point end) {
  return std::chrono::duration<double>(end - begin).count();
}

// A range of a block's gradients.
struct Bucket {
  Tensor gradients;
  std::string what;
  std::vector<Tensor> parameters;
  size_t order = 0;    // of its first parameter, whose gradient arrives last
  size_t missing = 0;  // gradients of this pass that have not arrived
  WorkPtr work;
};

std::string names_of(const std::vector<Reducer::Slot>& slots, size_t first, size_t last) {
  if (first == last) return format("gradient of {}", slots[first].name);
  return format("gradients of {} to {}", slots[last].name, slots[first].name);
}

// From its end to its beginning, in ranges of at most so many bytes, or of one parameter.
void cut(const Reducer::Block& block, size_t bucket_bytes, std::vector<Bucket>& out) {
  const std::vector<Reducer::Slot>& slots = block.slots;
  const size_t element = size_of(block.gradients.dtype());
  int64_t end = block.gradients.numel();
  for (size_t last = slots.size(); last > 0;) {
    size_t first = last - 1;
    while (first > 0 && size_t(end - slots[first - 1].offset) * element <= bucket_bytes) --first;
    const int64_t begin = slots[first].offset;
    Bucket& bucket = out.emplace_back();
    bucket.gradients = block.gradients.part({end - begin}, begin);
    bucket.what = names_of(slots, first, last - 1);
    bucket.order = slots[first].order;
    for (size_t i = first; i < last; ++i) bucket.parameters.push_back(slots[i].parameter);
    end = begin;
    last = first;
  }
}

}  // namespace

struct Reducer::State {
  explicit State(ProcessGroup& group) : group(group) {}

  void arrived(Bucket& bucket) {
    if (!active) return;
    if (--bucket.missing == 0) {
      while (next < buckets.size() && buckets[next].missing == 0) start_next();
    }
    // Most backends make progress only when asked.
    for (size_t i = 0; i < next; ++i) buckets[i].work->done();
  }

  void start_next() {
    Bucket& bucket = buckets[next];
    if (next == 0) began = Clock::now();
    bucket.work = group.start_all_reduce(bucket.gradients, ReduceOp::sum, bucket.what);
    ++next;
  }

  ProcessGroup& group;
  std::vector<Bucket> buckets;
  size_t next = 0;  // the first that is not sent
  bool active = false;
  Clock::time_point began;
  Times times;
};

Reducer::Reducer(ProcessGroup& group, const std::vector<Block>& blocks, size_t bucket_bytes)
    : state_(std::make_shared<State>(group)) {
  std::vector<Bucket>& buckets = state_->buckets;
  for (const Block& block : blocks) cut(block, bucket_bytes, buckets);
  std::ranges::stable_sort(buckets, std::greater(), &Bucket::order);
  for (Bucket& bucket : buckets) {
    for (const Tensor& parameter : bucket.parameters) {
      const std::weak_ptr<State> weak = state_;
      parameter.register_post_accumulate_grad_hook([weak, &bucket](const Tensor&) {
        if (const auto state = weak.lock()) state->arrived(bucket);
      });
    }
  }
}

void Reducer::begin() {
  state_->active = true;
  state_->next = 0;
  for (Bucket& bucket : state_->buckets) bucket.missing = bucket.parameters.size();
}

void Reducer::finish() {
  State& state = *state_;
  state.active = false;
  const Clock::time_point begin = Clock::now();
  while (state.next < state.buckets.size()) state.start_next();
  for (Bucket& bucket : state.buckets) {
    bucket.work->wait();
    bucket.work.reset();
  }
  const Clock::time_point end = Clock::now();
  state.times = {seconds_between(state.began, end), seconds_between(begin, end)};
}

size_t Reducer::bucket_count() const { return state_->buckets.size(); }
const Reducer::Times& Reducer::times() const { return state_->times; }

}  // namespace rstorch::dist
