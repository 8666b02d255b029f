// Batches on their way to the device.
#include "ops/ops.h"
#include "tensor/runtime.h"
#include "train/batch_feeder.h"
#include "unit/training.h"

using namespace rstorch;

namespace {

data::Batch batch_of(int64_t samples, double first) {
  data::Batch batch;
  batch.x = (Tensor::arange(samples * 3) + first).to(kFloat32).reshape({samples, 3});
  batch.y = Tensor::arange(samples);
  batch.size = samples;
  return batch;
}

}  // namespace

TEST_CASE("each batch arrives whole, whatever is still under way") {
  BatchFeeder feeder("cuda");
  const int64_t sizes[] = {5, 5, 5, 2, 5, 5, 9, 9, 1, 9, 9};
  std::vector<Tensor> sums;
  std::vector<double> wanted;
  double first = 0;
  for (const int64_t size : sizes) {
    const data::Batch batch = batch_of(size, first += 100);
    const data::Batch there = feeder.feed(batch);
    CHECK(there.x.device() == Device("cuda"));
    CHECK(there.x.shape() == batch.x.shape());
    CHECK(there.size == size);
    sums.push_back(there.x.sum() + there.y.to(kFloat32).sum());
    wanted.push_back(batch.x.sum().item() + batch.y.to(kFloat32).sum().item());
    Tensor(batch.x).fill_(-1);  // its maker may use it again
  }
  for (size_t i = 0; i < sums.size(); ++i) CHECK(sums[i].item() == wanted[i]);
}

TEST_CASE("in steady state a feeder asks for no memory") {
  BatchFeeder feeder("cuda");
  for (int i = 0; i < 3; ++i) feeder.feed(batch_of(8, i));
  const size_t there = current_stream("cuda").allocator().stats().allocations;
  const size_t pinned = cuda::pinned_memory(0).stats().allocations;
  for (int i = 0; i < 9; ++i) feeder.feed(batch_of(i % 3 == 2 ? 5 : 8, i));
  CHECK(current_stream("cuda").allocator().stats().allocations == there);
  CHECK(cuda::pinned_memory(0).stats().allocations == pinned);
}

TEST_CASE("for the CPU a batch stays what it is") {
  BatchFeeder feeder(kCPU);
  const data::Batch batch = batch_of(4, 0);
  CHECK(feeder.feed(batch).x.is_same(batch.x));
}
