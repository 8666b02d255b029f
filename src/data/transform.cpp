#include "data/transform.h"

#include "base/error.h"
#include "data/normalize.h"
#include "tensor/arithmetic.h"

namespace rstorch::data {
namespace {

// Words of a sample's random stream that a transform may use; samples further apart never share one.
constexpr uint64_t kWordsPerSample = uint64_t(1) << 20;

Tensor as_batch_of_one(const Tensor& x) {
  Shape shape = x.shape();
  shape.insert(0, 1);
  return x.alias(shape, contiguous_strides(shape), x.offset());
}

}  // namespace

const TransformRegistry& transforms() {
  using R = TransformRegistry;
  static constexpr R::Entry table[] = {
      R::entry<Normalize>("Normalize", "(x - mean) / std, per channel."),
  };
  static constexpr R registry("transform", table);
  return registry;
}

const config::KindTable& transform_kinds() {
  static const config::KindTable kinds = transforms().kinds();
  return kinds;
}

Sample BatchTransform::apply(const Sample& sample, const RandomKey&) const {
  const Sample copy = {copy_new(sample.x), copy_new(sample.y)};
  apply_rows({as_batch_of_one(copy.x), as_batch_of_one(copy.y)});
  return copy;
}

Transformed::Transformed(DatasetPtr dataset, std::vector<std::unique_ptr<Transform>> transforms, uint64_t seed)
    : dataset_(std::move(dataset)), transforms_(std::move(transforms)), seed_(seed), spec_(dataset_->spec()) {
  for (const auto& transform : transforms_) {
    spec_ = transform->output(spec_);
    if (const auto* batchwise = dynamic_cast<const BatchTransform*>(transform.get())) batchwise_.push_back(batchwise);
  }
  if (batchwise_.size() < transforms_.size()) batchwise_.clear();
}

Sample Transformed::get(int64_t index, uint64_t epoch) const {
  Sample sample = dataset_->get(index, epoch);
  RandomKey key{.seed = seed_, .purpose = Purpose::augment, .step = epoch, .first = uint64_t(index) * kWordsPerSample};
  for (const auto& transform : transforms_) {
    sample = transform->apply(sample, key);
    ++key.layer;
  }
  return sample;
}

void Transformed::gather(std::span<const int64_t> indices, uint64_t epoch, const Sample& out) const {
  if (batchwise_.empty()) return Dataset::gather(indices, epoch, out);
  dataset_->gather(indices, epoch, out);
  for (const BatchTransform* transform : batchwise_) transform->apply_rows(out);
}

}  // namespace rstorch::data
