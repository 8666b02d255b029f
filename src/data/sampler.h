// Which samples make up which batch.
//
// Batch k is a pure function of (seed, k): epoch k / batches_per_epoch(), position k % batches_per_epoch() in it.
// Nothing is replayed to get there. Every sample is in exactly one batch of an epoch (with drop_last, the short last
// batch is left out). A batch is cut into parts of micro_batch_size times the ranks, and each part into contiguous
// shares of the ranks: together they see what one rank would, part by part.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

namespace rstorch::data {

struct SamplerOptions {
  int64_t batch_size = 1;  // global: all ranks together
  bool shuffle = false;
  bool drop_last = false;
  int64_t micro_batch_size = 0;  // samples of a rank at a time; 0: its share of the batch
  uint64_t seed = 0;
  int rank = 0;
  int world = 1;
};

// Samples that go through the model together.
struct Part {
  int64_t first = 0;  // place of its first sample in the order of the epoch, ranks counted in
  int64_t size = 0;   // may be 0 on some ranks
};

class Sampler {
 public:
  // `size` samples. Throws ArgumentError for options that make no sense.
  Sampler(int64_t size, const SamplerOptions& options);

  struct Share {
    int64_t epoch = 0;
    int64_t global_size = 0;       // samples of the batch over all ranks
    std::vector<Part> parts;       // as many on all ranks
    std::vector<int64_t> indices;  // this rank's samples, part by part
  };

  int64_t batches_per_epoch() const { return batches_; }
  // This rank's share of batch k >= 0. Any thread.
  Share batch(int64_t k) const;
  const SamplerOptions& options() const { return options_; }

 private:
  using Order = std::shared_ptr<const std::vector<int64_t>>;
  Order order(int64_t epoch) const;

  int64_t size_;
  SamplerOptions options_;
  int64_t batches_;
  // Orders of the two epochs last asked for: prefetching crosses the border between epochs.
  mutable std::mutex mutex_;
  mutable std::array<std::pair<int64_t, Order>, 2> cache_ = {{{-1, nullptr}, {-1, nullptr}}};
};

// A uniformly random order of 0 .. size - 1 that (seed, epoch) decides.
std::vector<int64_t> shuffled(int64_t size, uint64_t seed, uint64_t epoch);

}  // namespace rstorch::data
