// What makes up a batch: splits, orders, shares of ranks, threads, transforms.
#include "data/loader.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <map>
#include <numeric>

#include <doctest/doctest.h>

#include "data/normalize.h"
#include "data/random.h"
#include "data/transform.h"

using namespace rstorch;
using namespace rstorch::data;

namespace {

using Indices = std::vector<int64_t>;

Indices iota(int64_t size) {
  Indices out(static_cast<size_t>(size));
  std::iota(out.begin(), out.end(), 0);
  return out;
}

bool is_permutation(Indices order) {
  std::ranges::sort(order);
  return order == iota(int64_t(order.size()));
}

// Sample i is x = [i, epoch], y = i; sample `bad` cannot be read.
class Counting final : public Dataset {
 public:
  explicit Counting(int64_t size, int64_t bad = -1) : size_(size), bad_(bad) {
    spec_.x_shape = {2};
    spec_.classes = size;
  }
  int64_t size() const override { return size_; }
  const SampleSpec& spec() const override { return spec_; }
  std::string describe() const override { return "counting"; }
  Sample get(int64_t index, uint64_t epoch = 0) const override {
    ++reads;
    if (index == bad_) throw DataError("the disk is gone", "find it");
    return {Tensor::from(std::vector<float>{float(index), float(epoch)}, {2}),
            Tensor::scalar(index, {.dtype = DType::i64})};
  }
  mutable std::atomic<int64_t> reads = 0;

 private:
  int64_t size_;
  int64_t bad_;
  SampleSpec spec_;
};

// Adds a random number to x, so that a draw is seen.
class Jitter final : public Transform {
 public:
  SampleSpec output(const SampleSpec& in) const override { return in; }
  Sample apply(const Sample& sample, const RandomKey& key) const override {
    CHECK(key.purpose == Purpose::augment);
    std::vector<float> x = sample.x.to_vector<float>();
    x[0] += float(key.first % 1000003) + 1e-3f * float(key.layer);
    x[1] += float(key.step);
    return {Tensor::from(x, {2}), sample.y};
  }
};

struct Seen {
  std::vector<float> x;
  Indices indices;
  int64_t epoch, number, first;
  bool operator==(const Seen&) const = default;
};
std::vector<Seen> see(BatchStream stream) {
  std::vector<Seen> out;
  while (const std::optional<Batch> batch = stream.next()) {
    CHECK(batch->size == int64_t(batch->indices.size()));
    CHECK(batch->y.to_vector<int64_t>() == batch->indices);
    out.push_back({batch->x.to_vector<float>(), batch->indices, batch->epoch, batch->number, batch->parts[0].first});
  }
  return out;
}

}  // namespace

TEST_CASE("shuffled: a permutation that seed and epoch decide") {
  for (const int64_t size : {0, 1, 2, 7, 1000, 100003}) {
    CAPTURE(size);
    const Indices order = shuffled(size, 1, 0);
    CHECK(int64_t(order.size()) == size);
    CHECK(is_permutation(order));
    CHECK(order == shuffled(size, 1, 0));
    if (size < 1000) continue;
    CHECK(order != shuffled(size, 1, 1));
    CHECK(order != shuffled(size, 2, 0));
    CHECK(order != iota(size));
  }
}

TEST_CASE("shuffled: every order of four is equally frequent") {
  std::map<Indices, double> count;
  constexpr int draws = 24000;
  for (int epoch = 0; epoch < draws; ++epoch) ++count[shuffled(4, 5, uint64_t(epoch))];
  CHECK(count.size() == 24);
  double chi_squared = 0;
  for (const auto& [order, n] : count) chi_squared += (n - draws / 24.0) * (n - draws / 24.0) / (draws / 24.0);
  CHECK(chi_squared < 49.7);  // 23 degrees of freedom: exceeded once in a thousand
}

TEST_CASE("split: exact counts, disjoint, complete, reproducible") {
  for (const int64_t size : {0, 1, 2, 7, 1000, 100003}) {
    for (const double fraction : {0.0, 0.2, 0.5, 1.0}) {
      CAPTURE(size);
      CAPTURE(fraction);
      const SplitIndices split = split_indices(size, fraction, 9);
      CHECK(int64_t(split.first.size()) == std::llround(fraction * double(size)));
      CHECK(std::ranges::is_sorted(split.first));
      CHECK(std::ranges::is_sorted(split.rest));
      Indices all = split.first;
      all.insert(all.end(), split.rest.begin(), split.rest.end());
      CHECK(is_permutation(all));
      CHECK(split.first == split_indices(size, fraction, 9).first);
    }
  }
  CHECK(split_indices(1000, 0.5, 1).first != split_indices(1000, 0.5, 2).first);
  CHECK_THROWS_AS(split_indices(10, 1.5, 0), ArgumentError);
}

TEST_CASE("sampler: an epoch's batches hold every sample once, whatever the number of ranks") {
  for (const bool shuffle : {false, true}) {
    for (const int64_t size : {1, 7, 64, 1000}) {
      for (const int world : {1, 2, 3, 8}) {
        CAPTURE(size);
        CAPTURE(world);
        const Sampler whole(size, {.batch_size = 16, .shuffle = shuffle, .seed = 3});
        for (int64_t k = 0; k < 2 * whole.batches_per_epoch(); ++k) {
          Indices joined;
          for (int rank = 0; rank < world; ++rank) {
            const Sampler sampler(size,
                                  {.batch_size = 16, .shuffle = shuffle, .seed = 3, .rank = rank, .world = world});
            const Sampler::Share share = sampler.batch(k);
            CHECK(share.parts[0].first == k % whole.batches_per_epoch() * 16 + int64_t(joined.size()));
            joined.insert(joined.end(), share.indices.begin(), share.indices.end());
          }
          CHECK(joined == whole.batch(k).indices);
        }
        Indices epoch;
        for (int64_t k = 0; k < whole.batches_per_epoch(); ++k) {
          const Indices part = whole.batch(k).indices;
          epoch.insert(epoch.end(), part.begin(), part.end());
        }
        CHECK(is_permutation(epoch));
        CHECK((epoch == iota(size)) == (!shuffle || size == 1));
      }
    }
  }
}

TEST_CASE("sampler: parts of a batch hold the same samples for any number of ranks") {
  for (const int world : {1, 2, 3, 4}) {
    CAPTURE(world);
    const int64_t together = 12;  // samples of a part, all ranks together
    for (int64_t k = 0; k < 3; ++k) {
      const Sampler whole(70, {.batch_size = 30, .shuffle = true, .micro_batch_size = together, .seed = 3});
      const Sampler::Share one = whole.batch(k);
      std::vector<Sampler::Share> shares;
      for (int rank = 0; rank < world; ++rank) {
        shares.push_back(Sampler(70, {.batch_size = 30,
                                      .shuffle = true,
                                      .micro_batch_size = together / world,
                                      .seed = 3,
                                      .rank = rank,
                                      .world = world})
                             .batch(k));
        REQUIRE(shares.back().parts.size() == one.parts.size());
      }
      Indices joined;
      std::vector<size_t> taken(size_t(world), 0);
      for (size_t part = 0; part < one.parts.size(); ++part) {
        int64_t place = one.parts[part].first;
        for (int rank = 0; rank < world; ++rank) {
          const Sampler::Share& share = shares[size_t(rank)];
          CHECK(share.parts[part].first == place);
          CHECK(share.parts[part].size <= together / world);
          place += share.parts[part].size;
          for (int64_t i = 0; i < share.parts[part].size; ++i) joined.push_back(share.indices[taken[size_t(rank)]++]);
        }
      }
      CHECK(joined == one.indices);
    }
  }
}

TEST_CASE("sampler: any batch at once, in any order; drop_last; nothing to sample") {
  const Sampler sampler(100, {.batch_size = 30, .shuffle = true, .seed = 8});
  CHECK(sampler.batches_per_epoch() == 4);
  const Sampler::Share late = sampler.batch(4003);
  CHECK(late.epoch == 1000);
  CHECK(late.indices.size() == 10);
  CHECK(sampler.batch(0).indices == Sampler(100, sampler.options()).batch(0).indices);
  CHECK(sampler.batch(4003).indices == late.indices);
  CHECK(Sampler(100, {.batch_size = 30, .drop_last = true}).batches_per_epoch() == 3);
  CHECK(Sampler(20, {.batch_size = 30, .drop_last = true}).batches_per_epoch() == 0);
  CHECK(Sampler(0, {}).batches_per_epoch() == 0);
  CHECK_THROWS_AS(Sampler(10, {.batch_size = 0}), ArgumentError);
  CHECK_THROWS_AS(Sampler(10, {.rank = 2, .world = 2}), ArgumentError);
  CHECK_THROWS_AS(Sampler(0, {}).batch(0), ArgumentError);
}

TEST_CASE("loader: the same batches for any number of workers, over epochs and from any start") {
  const Counting dataset(103);
  const LoaderOptions options{.batch_size = 10, .shuffle = true, .seed = 4};
  const std::vector<Seen> wanted = see(DataLoader(dataset, options).stream(0, 33));
  CHECK(wanted.size() == 33);
  CHECK(wanted[32].epoch == 2);
  CHECK(wanted[32].indices.size() == 3);
  CHECK(wanted[11].x[1] == 1);  // the epoch reached the dataset
  for (const int workers : {0, 1, 4}) {
    for (const int ahead : {1, 3}) {
      CAPTURE(workers);
      LoaderOptions threaded = options;
      threaded.num_workers = workers;
      threaded.prefetch_factor = ahead;
      const DataLoader loader(dataset, threaded);
      CHECK(see(loader.stream(0, 33)) == wanted);
      CHECK(see(loader.stream(25, 33)) == std::vector<Seen>(wanted.begin() + 25, wanted.end()));
      CHECK(see(loader.stream(5, 5)).empty());
    }
  }
}

TEST_CASE("loader: loops are epochs") {
  const Counting dataset(10);
  DataLoader loader(dataset, {.batch_size = 4, .shuffle = true, .num_workers = 2});
  CHECK(loader.size() == 3);
  std::vector<Indices> epochs;
  for (int epoch = 0; epoch < 3; ++epoch) {
    Indices seen;
    for (const Batch& batch : loader) {
      CHECK(batch.epoch == epoch);
      seen.insert(seen.end(), batch.indices.begin(), batch.indices.end());
    }
    CHECK(is_permutation(seen));
    epochs.push_back(seen);
  }
  CHECK(epochs[0] != epochs[1]);
  loader.set_epoch(1);
  Indices again;
  for (const Batch& batch : loader) again.insert(again.end(), batch.indices.begin(), batch.indices.end());
  CHECK(again == epochs[1]);

  const Counting empty(0);
  DataLoader nothing(empty, {.num_workers = 2});
  for (const Batch& batch : nothing) FAIL("a batch of ", batch.size);
}

TEST_CASE("loader: what a worker throws reaches the consumer, with the sample") {
  const Counting dataset(40, 17);
  for (const int workers : {0, 1, 4}) {
    CAPTURE(workers);
    const DataLoader loader(dataset, {.batch_size = 5, .num_workers = workers});
    BatchStream stream = loader.stream(0, 8);
    for (int k = 0; k < 3; ++k) CHECK(stream.next().has_value());
    try {
      stream.next();
      FAIL("nothing was thrown");
    } catch (const DataError& error) {
      CHECK(std::string(error.what()) == "sample 17 (batch 3 of training): the disk is gone");
      CHECK(error.hint() == "find it");
    }
    CHECK(!stream.next().has_value());
  }
}

TEST_CASE("loader: may be destroyed at any time") {
  const Counting dataset(1000);
  for (const int workers : {1, 4}) {
    const DataLoader loader(dataset, {.batch_size = 8, .num_workers = workers, .prefetch_factor = 3});
    for (int taken = 0; taken < 20; ++taken) {
      BatchStream stream = loader.stream(0);
      for (int k = 0; k < taken; ++k) CHECK(stream.next()->number == k);
    }
    DataLoader looped(dataset, {.batch_size = 8, .num_workers = workers});
    for (const Batch& batch : looped) {
      if (batch.number == 2) break;
    }
  }
}

TEST_CASE("loader: works no further ahead than asked") {
  const Counting dataset(1000);
  const DataLoader loader(dataset, {.batch_size = 1, .num_workers = 2, .prefetch_factor = 3});
  BatchStream stream = loader.stream(0);
  for (int k = 0; k < 10; ++k) stream.next();
  CHECK(dataset.reads <= 10 + 2 * 3);
}

TEST_CASE("subset: its samples in its order") {
  const auto dataset = std::make_shared<Counting>(10);
  const Subset subset(dataset, {7, 2, 9});
  CHECK(subset.size() == 3);
  CHECK(subset.get(2).y.item<int64_t>() == 9);
  const Sample rows = empty_batch(subset.spec(), 2);
  subset.gather(Indices{2, 0}, 5, rows);
  CHECK(rows.x.to_vector<float>() == std::vector<float>{9, 5, 7, 5});
  CHECK_THROWS_AS(Subset(dataset, {10}), ArgumentError);
}

TEST_CASE("transforms: Normalize by channel, in place for batches, on a copy for a sample") {
  class Images final : public Dataset {
   public:
    Images() { spec_ = {.x_shape = {2, 1, 2}, .classes = 1}; }
    int64_t size() const override { return 2; }
    const SampleSpec& spec() const override { return spec_; }
    std::string describe() const override { return "images"; }
    Sample get(int64_t index, uint64_t = 0) const override {
      return {index == 0 ? first_ : second_, Tensor::scalar(0, {.dtype = DType::i64})};
    }

   private:
    SampleSpec spec_;
    Tensor first_ = Tensor::from(std::vector<float>{1, 2, 3, 4}, {2, 1, 2});
    Tensor second_ = Tensor::from(std::vector<float>{5, 6, 7, 8}, {2, 1, 2});
  };
  const auto images = std::make_shared<Images>();
  std::vector<std::unique_ptr<Transform>> transforms;
  transforms.push_back(std::make_unique<Normalize>(Normalize::Config{.mean = {1, 3}, .std = {2, 4}}));
  const Transformed normalized(images, std::move(transforms), 0);
  const std::vector<float> wanted = {2, 2.5f, 1, 1.25f};
  CHECK(normalized.get(1).x.to_vector<float>() == wanted);
  CHECK(images->get(1).x.to_vector<float>()[0] == 5);
  const Sample rows = empty_batch(normalized.spec(), 2);
  normalized.gather(Indices{1, 0}, 0, rows);
  CHECK(rows.x.to_vector<float>() == std::vector<float>{2, 2.5f, 1, 1.25f, 0, 0.5f, 0, 0.25f});

  const auto refused = [&](const Normalize::Config& config) { Normalize(config).output(images->spec()); };
  CHECK_THROWS_AS(refused({.mean = {0}, .std = {1, 1, 1}}), DataError);
  CHECK_THROWS_AS(refused({.mean = {0}, .std = {0}}), ArgumentError);
}

TEST_CASE("transforms: random ones draw by seed, epoch, sample and place, not by thread") {
  const auto dataset = std::make_shared<Counting>(50);
  const auto jittered = [&](uint64_t seed) {
    std::vector<std::unique_ptr<Transform>> transforms;
    transforms.push_back(std::make_unique<Jitter>());
    transforms.push_back(std::make_unique<Jitter>());
    return std::make_shared<Transformed>(dataset, std::move(transforms), seed);
  };
  const auto a = jittered(1);
  const auto x = [](const Sample& sample) { return sample.x.to_vector<float>(); };
  CHECK(x(a->get(3, 2)) == x(a->get(3, 2)));
  CHECK(x(a->get(3, 2))[1] == 2 + 2 * 2);  // the epoch is the step of both keys
  CHECK(x(a->get(3, 2)) != x(a->get(4, 2)));
  const LoaderOptions options{.batch_size = 7, .shuffle = true};
  LoaderOptions threaded = options;
  threaded.num_workers = 3;
  CHECK(see(DataLoader(*a, options).stream(0, 16)) == see(DataLoader(*a, threaded).stream(0, 16)));
}
