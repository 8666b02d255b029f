// Datasets: numbered samples that any thread may read at any time.
//
// Sample i is a pure function of (i, epoch); the epoch matters to random augmentations only. That is what makes a batch
// a pure function of (seed, k), and a resume free of replay. A dataset is built and fitted by one thread, then only
// read.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "config/value.h"
#include "tensor/tensor.h"

namespace rstorch::data {

// One sample, or (from gather) a batch of them with the batch as dimension 0 of both.
struct Sample {
  Tensor x;
  Tensor y;
};

// What every sample of a dataset looks like.
struct SampleSpec {
  Shape x_shape = {};
  DType x_dtype = DType::f32;
  Shape y_shape = {};  // no dimensions for a class index; [0] where the samples have no target
  DType y_dtype = DType::i64;
  int64_t classes = 0;                        // > 0: y is a class index below it; 0: y holds real numbers
  std::vector<std::string> class_names = {};  // one per class, or none

  bool is_classification() const { return classes > 0; }
  // "[1, 28, 28] f32 -> 10 classes", "[4] f32 -> [1] f32"
  std::string text() const;
};

class Dataset {
 public:
  virtual ~Dataset() = default;

  virtual int64_t size() const = 0;
  virtual const SampleSpec& spec() const = 0;
  // One line for logs: what it is and where it came from.
  virtual std::string describe() const = 0;

  // Sample `index`, 0 <= index < size(). May share memory with the dataset: read only.
  virtual Sample get(int64_t index, uint64_t epoch = 0) const = 0;
  // Writes sample indices[k] into row k of out, whose tensors are contiguous on the CPU and have indices.size() rows.
  // Here by get(); datasets in memory do better.
  virtual void gather(std::span<const int64_t> indices, uint64_t epoch, const Sample& out) const;

  // What was learnt from the training data (means, categories, ...), so that other data is read the same way. A
  // checkpoint keeps it. fit() learns from these rows; load_state() takes what another dataset's state() gave.
  virtual void fit(std::span<const int64_t> training_rows);
  virtual config::Value state() const { return {}; }
  virtual void load_state(const config::Value& state);
};

// Datasets do not change once built, so train and validation parts share the one they came from.
using DatasetPtr = std::shared_ptr<const Dataset>;

// Some of the samples of a dataset, in the order of `indices`.
class Subset final : public Dataset {
 public:
  Subset(DatasetPtr dataset, std::vector<int64_t> indices);

  int64_t size() const override { return int64_t(indices_.size()); }
  const SampleSpec& spec() const override { return dataset_->spec(); }
  std::string describe() const override;
  Sample get(int64_t index, uint64_t epoch = 0) const override;
  void gather(std::span<const int64_t> indices, uint64_t epoch, const Sample& out) const override;
  config::Value state() const override { return dataset_->state(); }

  const std::vector<int64_t>& indices() const { return indices_; }

 private:
  DatasetPtr dataset_;
  std::vector<int64_t> indices_;
};

// The rows of `first` and the rest, each ascending. `first` has round(fraction * size) rows, those whose hash of (seed,
// row) is smallest: every row is in exactly one part, and the same seed gives the same parts everywhere.
struct SplitIndices {
  std::vector<int64_t> first;
  std::vector<int64_t> rest;
};
SplitIndices split_indices(int64_t size, double fraction, uint64_t seed);

// An uninitialised batch of `rows` samples.
Sample empty_batch(const SampleSpec& spec, int64_t rows);
// Row `row` of a batch, sharing its memory.
Sample row_of(const Sample& batch, int64_t row);

}  // namespace rstorch::data
