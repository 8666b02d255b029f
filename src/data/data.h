// The `data:` part of a config, from text to open datasets.
//
//   data: {type: mnist, path: datasets/digits, batch_size: 64}          # short: the kind knows its held-out part
//   data: {type: csv, path: iris.csv, batch_size: 16, val_fraction: 0.2}
//   data: {batch_size: 512, train: {type: mnist, ...}, val: {type: mnist, split: test, ...}, transforms: {...}}
#pragma once

#include <optional>
#include <vector>

#include "config/registry.h"
#include "data/dataset.h"
#include "data/loader.h"
#include "data/transform.h"

namespace rstorch::data {

using DatasetRegistry = config::Registry<Dataset>;
const DatasetRegistry& datasets();  // every dataset that a config can name
const config::KindTable& dataset_kinds();

struct TransformsConfig {
  std::vector<config::Value> train;
  std::vector<config::Value> val;
  static void describe(auto& field) {
    field("train", &TransformsConfig::train, "For training samples, in this order.", config::kind_of(transform_kinds));
    field("val", &TransformsConfig::val, "For validation samples, in this order.", config::kind_of(transform_kinds));
  }
};

// What is common to all datasets. In the short form the dataset's own keys stand beside these.
struct DataConfig {
  int64_t batch_size = 1;
  int num_workers = 0;
  int prefetch_factor = 2;
  bool shuffle = true;
  bool drop_last = false;
  double val_fraction = 0;
  TransformsConfig transforms;
  config::Value train;
  config::Value val;
  static void describe(auto& field) {
    field("batch_size", &DataConfig::batch_size, "Samples per update, over all ranks.", config::required,
          config::positive);
    field("num_workers", &DataConfig::num_workers, "Threads that prepare batches; 0: the training thread does.",
          config::in_range(0, 256));
    field("prefetch_factor", &DataConfig::prefetch_factor, "Batches that each worker prepares ahead.",
          config::in_range(1, 1024));
    field("shuffle", &DataConfig::shuffle, "Training samples in a new order each epoch.");
    field("drop_last", &DataConfig::drop_last, "Leave out the short last batch of a training epoch.");
    field("val_fraction", &DataConfig::val_fraction, "Part of the training samples that is held out for validation.",
          config::in_half_open(0, 1));
    field("transforms", &DataConfig::transforms, "Changes to samples on their way to the batch.");
    field("train", &DataConfig::train, "The training dataset, where `type` is not given beside these keys.",
          config::kind_of(dataset_kinds));
    field("val", &DataConfig::val, "The validation dataset.", config::kind_of(dataset_kinds));
  }
};

struct OpenedData {
  DatasetPtr train;
  DatasetPtr val;       // null when the config names none
  config::Value state;  // what was learnt from the training data; belongs into the checkpoint
};

// A checked `data:` section. Making one opens no file.
class DataRecipe {
 public:
  // Errors go to the report; what comes back then must not be opened.
  static DataRecipe read(const config::Value& section, config::Report& report);

  const DataConfig& config() const { return config_; }
  const config::Value& resolved() const { return resolved_; }  // every key, with origins
  bool has_val() const { return val_ || config_.val_fraction > 0; }

  // Opens the files; throws DataError. `seed` decides the split and the augmentations.
  OpenedData open(uint64_t seed) const;
  // With what a checkpoint learnt in place of learning anew.
  OpenedData open(uint64_t seed, const config::Value& state) const;
  // The validation data alone; training data is read only where a part of it is held out. Null when there is none.
  DatasetPtr open_val(uint64_t seed, const config::Value& state) const;

  LoaderOptions train_options(uint64_t seed, int rank = 0, int world = 1) const;
  LoaderOptions val_options(int rank = 0, int world = 1) const;

 private:
  void read_val(const config::Value& dataset, config::Report& report);
  void resolve(config::Value own, bool is_short);
  OpenedData open(uint64_t seed, const config::Value* state) const;

  DataConfig config_;
  config::Value resolved_;
  DatasetRegistry::Recipe train_;
  DatasetRegistry::Recipe val_;
  std::vector<TransformRegistry::Recipe> train_transforms_;
  std::vector<TransformRegistry::Recipe> val_transforms_;
};

}  // namespace rstorch::data
