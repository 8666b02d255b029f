// Samples made from nothing but (seed, index): for tests, benchmarks and trying a model without data.
#pragma once

#include <optional>
#include <vector>

#include "base/random_key.h"
#include "config/fields.h"
#include "data/dataset.h"

namespace rstorch::data {

// x is standard normal. With `learnable`, y follows from x by a fixed random linear map, so that a loss can fall: the
// place of its largest output, or the outputs. Without, y is random too.
class Random final : public Dataset {
 public:
  struct Config {
    std::vector<int64_t> shape = {};
    std::optional<int64_t> classes = {};
    std::vector<int64_t> target_shape = {};
    int64_t size = 1024;
    int64_t seed = 0;
    bool learnable = true;
    static void describe(auto& field) {
      field("shape", &Config::shape, "Shape of x, without the batch.", config::required,
            config::each(config::positive));
      field("classes", &Config::classes, "y is a class below it.", config::in_range(1, 1 << 20));
      field("target_shape", &Config::target_shape, "Shape of y, where it is real numbers and not a class.",
            config::each(config::positive));
      field("size", &Config::size, "Number of samples.", config::positive);
      field("seed", &Config::seed, "Other seeds give other samples.", config::non_negative);
      field("learnable", &Config::learnable, "y follows from x, so that a loss can fall.");
    }
    void validate(const config::Value& at, config::Report& report) const;
  };
  explicit Random(Config config);

  int64_t size() const override { return config_.size; }
  const SampleSpec& spec() const override { return spec_; }
  std::string describe() const override;
  Sample get(int64_t index, uint64_t epoch = 0) const override;
  void gather(std::span<const int64_t> indices, uint64_t epoch, const Sample& out) const override;

 private:
  RandomKey key(uint32_t stream, int64_t index) const;
  void write_outputs(int64_t index, const Tensor& x, std::span<float> outputs) const;

  Config config_;
  SampleSpec spec_;
  Tensor weight_;  // [outputs, inputs that count]
};

}  // namespace rstorch::data
