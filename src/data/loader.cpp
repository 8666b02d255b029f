#include "data/loader.h"

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>

#include <omp.h>

#include "base/error.h"

namespace rstorch::data {
namespace {

// A batch failed as a whole: says which of its samples it was.
[[noreturn]] void throw_naming_sample(const Dataset& dataset, const Batch& batch, const std::exception& error) {
  const auto fails = [&](int64_t index) {
    try {
      dataset.get(index, uint64_t(batch.epoch));
      return false;
    } catch (const std::exception&) {
      return true;
    }
  };
  const auto bad = std::ranges::find_if(batch.indices, fails);
  const std::string sample = bad == batch.indices.end() ? "a sample" : format("sample {}", *bad);
  const auto* ours = dynamic_cast<const Error*>(&error);
  throw DataError(format("{} (batch {} of training): {}", sample, batch.number, error.what()), ours ? ours->hint() : "",
                  4);
}

Batch make_batch(const Dataset& dataset, const Sampler& sampler, int64_t number) {
  Sampler::Share share = sampler.batch(number);
  const Sample rows = empty_batch(dataset.spec(), int64_t(share.indices.size()));
  Batch batch{.x = rows.x,
              .y = rows.y,
              .size = int64_t(share.indices.size()),
              .global_size = share.global_size,
              .parts = std::move(share.parts),
              .epoch = share.epoch,
              .number = number,
              .indices = std::move(share.indices)};
  try {
    dataset.gather(batch.indices, uint64_t(batch.epoch), rows);
  } catch (const OutOfMemoryError&) {
    throw;
  } catch (const std::exception& error) {
    throw_naming_sample(dataset, batch, error);
  }
  return batch;
}

// The finished batches of a ring of slots, filled by any worker, emptied in order by the consumer.
struct Slot {
  std::optional<Batch> batch;
  std::exception_ptr error;
};

}  // namespace

struct BatchStream::State {
  State(const Dataset& dataset, const Sampler& sampler, int64_t first, int64_t last)
      : dataset(dataset), sampler(sampler), last(last), next(first), unclaimed(first) {}

  ~State() {
    {
      const std::lock_guard lock(mutex);
      unclaimed = last;
    }
    room.notify_all();
    for (std::thread& worker : workers) worker.join();
  }

  void start(int num_workers, int ahead) {
    slots.resize(size_t(num_workers) * size_t(ahead));
    for (int i = 0; i < num_workers; ++i) workers.emplace_back([this] { work(); });
  }

  // Claims the next batch while there is room for it, until there is none left.
  void work() {
    omp_set_num_threads(1);  // the pool belongs to the training thread
    std::unique_lock lock(mutex);
    for (;;) {
      room.wait(lock, [&] { return unclaimed >= last || unclaimed - next < int64_t(slots.size()); });
      if (unclaimed >= last) return;
      const int64_t number = unclaimed++;
      lock.unlock();
      Slot made;
      try {
        made.batch = make_batch(dataset, sampler, number);
      } catch (...) {
        made.error = std::current_exception();
      }
      lock.lock();
      slot_of(number) = std::move(made);
      filled.notify_one();
    }
  }

  std::optional<Batch> take() {
    std::unique_lock lock(mutex);
    Slot& slot = slot_of(next);
    filled.wait(lock, [&] { return slot.batch || slot.error; });
    Slot taken = std::exchange(slot, {});
    ++next;
    if (taken.error) {
      unclaimed = last;
      next = last;
      room.notify_all();
      std::rethrow_exception(taken.error);
    }
    room.notify_one();
    return std::move(taken.batch);
  }

  Slot& slot_of(int64_t number) { return slots[size_t(number) % slots.size()]; }

  const Dataset& dataset;
  const Sampler& sampler;
  const int64_t last;
  std::mutex mutex;
  std::condition_variable room;    // a slot was emptied, or there is nothing left to do
  std::condition_variable filled;  // a slot was filled
  std::vector<Slot> slots;
  int64_t next;       // what the consumer takes next
  int64_t unclaimed;  // the first batch that no worker has taken on
  std::vector<std::thread> workers;
};

BatchStream::BatchStream(const Dataset& dataset, const Sampler& sampler, const LoaderOptions& options, int64_t first,
                         int64_t last) {
  if (sampler.batches_per_epoch() == 0) last = first;  // no samples, no batches
  state_ = std::make_unique<State>(dataset, sampler, first, std::max(first, last));
  if (first < last) state_->start(options.num_workers, options.prefetch_factor);
}

BatchStream::~BatchStream() = default;
BatchStream::BatchStream(BatchStream&&) noexcept = default;
BatchStream& BatchStream::operator=(BatchStream&&) noexcept = default;

std::optional<Batch> BatchStream::next() {
  State& state = *state_;
  if (state.next >= state.last) return {};
  if (!state.workers.empty()) return state.take();
  const int64_t number = std::exchange(state.next, state.last);  // the end, if making it throws
  Batch batch = make_batch(state.dataset, state.sampler, number);
  state.next = number + 1;
  return batch;
}

DataLoader::DataLoader(const Dataset& dataset, const LoaderOptions& options)
    : dataset_(dataset),
      options_(options),
      sampler_(dataset.size(), {.batch_size = options.batch_size,
                                .shuffle = options.shuffle,
                                .drop_last = options.drop_last,
                                .micro_batch_size = options.micro_batch_size,
                                .seed = options.seed,
                                .rank = options.rank,
                                .world = options.world}) {
  if (options.num_workers < 0 || options.prefetch_factor < 1) {
    throw ArgumentError(format("DataLoader: num_workers {}, prefetch_factor {}; wanted at least 0 and 1",
                               options.num_workers, options.prefetch_factor));
  }
}

BatchStream DataLoader::stream(int64_t first, int64_t last) const {
  return BatchStream(dataset_, sampler_, options_, first, last);
}

DataLoader::Iterator DataLoader::begin() {
  const int64_t first = epoch_++ * size();
  return Iterator(stream(first, first + size()));
}

}  // namespace rstorch::data
