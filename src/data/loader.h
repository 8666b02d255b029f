// DataLoader: batches of a dataset, made ahead of time by threads.
//
//   data::DataLoader loader(dataset, {.batch_size = 64, .shuffle = true});
//   for (const data::Batch& batch : loader) { ... batch.x, batch.y ... }    // one epoch; the next loop, the next epoch
//
// Order and contents of the batches do not depend on the number of workers. What goes wrong in a worker is thrown by
// the consumer's next(), naming the sample.
#pragma once

#include <cstddef>
#include <iterator>
#include <limits>
#include <memory>
#include <optional>

#include "data/dataset.h"
#include "data/sampler.h"

namespace rstorch::data {

struct Batch {
  Tensor x;                 // [size, ...]
  Tensor y;                 // [size, ...]
  int64_t size = 0;         // samples here: this rank's share
  int64_t global_size = 0;  // over all ranks
  std::vector<Part> parts;  // of these samples, in order
  int64_t epoch = 0;
  int64_t number = 0;            // k
  std::vector<int64_t> indices;  // into the dataset
};

struct LoaderOptions {
  int64_t batch_size = 1;
  bool shuffle = false;
  bool drop_last = false;
  int num_workers = 0;      // threads that make batches; 0: the calling thread does
  int prefetch_factor = 2;  // batches that each worker makes ahead
  int64_t micro_batch_size = 0;
  uint64_t seed = 0;
  int rank = 0;
  int world = 1;
};

// Batches first, first + 1, ... below last, made ahead. One consumer at a time. Destroying it stops the workers.
class BatchStream {
 public:
  BatchStream(const Dataset& dataset, const Sampler& sampler, const LoaderOptions& options, int64_t first,
              int64_t last);
  ~BatchStream();
  BatchStream(BatchStream&&) noexcept;
  BatchStream& operator=(BatchStream&&) noexcept;

  // Nothing after the last one. After a throw the stream is at its end.
  std::optional<Batch> next();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

class DataLoader {
 public:
  // The dataset must outlive the loader, the loader its streams.
  explicit DataLoader(const Dataset& dataset, const LoaderOptions& options = {});

  // Batches in an epoch.
  int64_t size() const { return sampler_.batches_per_epoch(); }
  const Dataset& dataset() const { return dataset_; }
  const LoaderOptions& options() const { return options_; }

  // The epoch that the next loop is for. Without it: 0, 1, 2, ...
  void set_epoch(int64_t epoch) { epoch_ = epoch; }

  // Batches from number `first` on, over the borders of epochs, to `last` (not included) or without end.
  BatchStream stream(int64_t first, int64_t last = std::numeric_limits<int64_t>::max()) const;

  class Iterator {
   public:
    using difference_type = ptrdiff_t;
    using value_type = Batch;
    explicit Iterator(BatchStream stream) : stream_(std::move(stream)), batch_(stream_.next()) {}
    const Batch& operator*() const { return *batch_; }
    const Batch* operator->() const { return &*batch_; }
    Iterator& operator++() {
      batch_ = stream_.next();
      return *this;
    }
    void operator++(int) { ++*this; }
    bool operator==(std::default_sentinel_t) const { return !batch_; }

   private:
    BatchStream stream_;
    std::optional<Batch> batch_;
  };
  Iterator begin();
  std::default_sentinel_t end() const { return {}; }

 private:
  const Dataset& dataset_;
  LoaderOptions options_;
  Sampler sampler_;
  int64_t epoch_ = 0;
};

}  // namespace rstorch::data
