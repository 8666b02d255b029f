#include "data/sampler.h"

#include <algorithm>
#include <numeric>

#include "base/error.h"
#include "tensor/generator.h"

namespace rstorch::data {

// Fisher & Yates, from the back: element i swaps with one of the first i + 1.
std::vector<int64_t> shuffled(int64_t size, uint64_t seed, uint64_t epoch) {
  const Tensor draws = Tensor::empty({size}, {.dtype = DType::f64});
  fill_uniform(draws, {.seed = seed, .purpose = Purpose::shuffle, .step = epoch}, 0, 1);
  const double* const draw = draws.data<double>();
  std::vector<int64_t> order(static_cast<size_t>(size));
  std::iota(order.begin(), order.end(), 0);
  for (int64_t i = size - 1; i > 0; --i) std::swap(order[size_t(i)], order[size_t(draw[i] * double(i + 1))]);
  return order;
}

Sampler::Sampler(int64_t size, const SamplerOptions& options) : size_(size), options_(options) {
  const int64_t batch = options.batch_size;
  if (size < 0) throw ArgumentError(format("Sampler: size {}, wanted 0 or more", size));
  if (batch < 1) throw ArgumentError(format("Sampler: batch_size {}, wanted 1 or more", batch));
  if (options.micro_batch_size < 0) {
    throw ArgumentError(format("Sampler: micro_batch_size {}, wanted 0 or more", options.micro_batch_size));
  }
  if (options.world < 1 || options.rank < 0 || options.rank >= options.world) {
    throw ArgumentError(format("Sampler: rank {} of {}", options.rank, options.world));
  }
  batches_ = size / batch + (!options.drop_last && size % batch > 0 ? 1 : 0);
}

Sampler::Share Sampler::batch(int64_t k) const {
  if (k < 0 || batches_ == 0) throw ArgumentError(format("Sampler: batch {} of {} per epoch", k, batches_));
  Share share;
  share.epoch = k / batches_;
  const int64_t begin = k % batches_ * options_.batch_size;
  share.global_size = std::min(options_.batch_size, size_ - begin);
  const Order order = options_.shuffle ? this->order(share.epoch) : nullptr;
  const int64_t micro = options_.micro_batch_size;
  const int64_t all = micro == 0 || micro > share.global_size ? share.global_size : micro * options_.world;
  for (int64_t done = 0; done < share.global_size; done += all) {
    const int64_t samples = std::min(all, share.global_size - done);
    const int64_t first = begin + done + samples * options_.rank / options_.world;
    const int64_t end = begin + done + samples * (options_.rank + 1) / options_.world;
    share.parts.push_back({first, end - first});
    for (int64_t i = first; i < end; ++i) share.indices.push_back(order ? (*order)[size_t(i)] : i);
  }
  return share;
}

Sampler::Order Sampler::order(int64_t epoch) const {
  const std::lock_guard lock(mutex_);
  auto& [cached, order] = cache_[size_t(epoch % 2)];
  if (cached != epoch) {
    order = std::make_shared<const std::vector<int64_t>>(shuffled(size_, options_.seed, uint64_t(epoch)));
    cached = epoch;
  }
  return order;
}

}  // namespace rstorch::data
