// Transforms change samples on their way to the batch. torchvision's names and meaning.
//
// They work on the CPU, on f32 images [channels, height, width]. Random ones draw from a key and nothing else, so a
// sample's augmentation depends on (seed, epoch, sample), not on threads or ranks.
#pragma once

#include <memory>
#include <vector>

#include "base/random_key.h"
#include "config/registry.h"
#include "data/dataset.h"

namespace rstorch::data {

class Transform {
 public:
  virtual ~Transform() = default;
  // What comes out for samples of `in`. Throws DataError naming what it cannot work on.
  virtual SampleSpec output(const SampleSpec& in) const = 0;
  // A new sample; `sample` is left as it is. The key is this sample's and this transform's own.
  virtual Sample apply(const Sample& sample, const RandomKey& key) const = 0;
};

// One that draws nothing and keeps the shape: it does whole batches, in place.
class BatchTransform : public Transform {
 public:
  virtual void apply_rows(const Sample& batch) const = 0;
  Sample apply(const Sample& sample, const RandomKey& key) const final;
};

using TransformRegistry = config::Registry<Transform>;
const TransformRegistry& transforms();  // every transform that a config can name
const config::KindTable& transform_kinds();

// A dataset whose samples pass through transforms, the first one first.
class Transformed final : public Dataset {
 public:
  Transformed(DatasetPtr dataset, std::vector<std::unique_ptr<Transform>> transforms, uint64_t seed);

  int64_t size() const override { return dataset_->size(); }
  const SampleSpec& spec() const override { return spec_; }
  std::string describe() const override { return dataset_->describe(); }
  Sample get(int64_t index, uint64_t epoch = 0) const override;
  void gather(std::span<const int64_t> indices, uint64_t epoch, const Sample& out) const override;
  config::Value state() const override { return dataset_->state(); }

 private:
  DatasetPtr dataset_;
  std::vector<std::unique_ptr<Transform>> transforms_;
  std::vector<const BatchTransform*> batchwise_;  // the same, when all of them can do whole batches; else empty
  uint64_t seed_;
  SampleSpec spec_;
};

}  // namespace rstorch::data
