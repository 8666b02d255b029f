// Normalize: torchvision's, for any f32 sample whose first dimension is the channel.
#pragma once

#include <vector>

#include "config/fields.h"
#include "data/transform.h"

namespace rstorch::data {

// x[c] = (x[c] - mean[c]) / std[c]. One value stands for all channels.
class Normalize final : public BatchTransform {
 public:
  struct Config {
    std::vector<double> mean = {0.5};
    std::vector<double> std = {0.5};
    static void describe(auto& field) {
      field("mean", &Config::mean, "Subtracted; one value per channel, or one for all.", config::required,
            config::non_empty);
      field("std", &Config::std, "Divided by; one value per channel, or one for all.", config::required,
            config::non_empty, config::each(config::positive));
    }
    void validate(const config::Value& at, config::Report& report) const;
  };
  explicit Normalize(Config config);

  SampleSpec output(const SampleSpec& in) const override;
  void apply_rows(const Sample& batch) const override;

 private:
  Config config_;
};

}  // namespace rstorch::data
