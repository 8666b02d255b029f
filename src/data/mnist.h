// MNIST and everything in its format: Fashion-MNIST, KMNIST, the bundled digits.
//
// A folder with {train,t10k}-images-idx3-ubyte and {train,t10k}-labels-idx1-ubyte, plain or with .gz. Images stay u8 in
// memory; a sample's x is f32 [1, height, width] in 0..1, y its class.
#pragma once

#include <optional>
#include <string>

#include "config/fields.h"
#include "data/dataset.h"

namespace rstorch::data {

class MNIST final : public Dataset {
 public:
  enum class Split { train, test };
  friend constexpr auto names_of(Split) {
    return config::names<Split>({{Split::train, "train"}, {Split::test, "test"}});
  }

  struct Config {
    std::string path = {};
    Split split = Split::train;
    std::optional<int64_t> max_value = {};
    int64_t classes = 10;
    static void describe(auto& field) {
      field("path", &Config::path, "Folder with the IDX files, plain or .gz.", config::required, config::non_empty);
      field("split", &Config::split, "train, or test (the t10k files).");
      field("max_value", &Config::max_value,
            "Pixel value that becomes 1. Left out: the largest in the training images (255 in MNIST).",
            config::in_range(1, 255));
      field("classes", &Config::classes, "Number of classes; labels are below it.", config::in_range(1, 256));
    }
  };
  explicit MNIST(Config config);

  int64_t size() const override { return labels_.size(0); }
  const SampleSpec& spec() const override { return spec_; }
  std::string describe() const override;
  Sample get(int64_t index, uint64_t epoch = 0) const override;
  void gather(std::span<const int64_t> indices, uint64_t epoch, const Sample& out) const override;
  config::Value state() const override;
  void load_state(const config::Value& state) override;

 private:
  Config config_;
  Tensor images_;  // u8 [size, height, width]
  Tensor labels_;  // u8 [size]
  SampleSpec spec_;
  float max_value_;
};

}  // namespace rstorch::data
