// Flatten and Identity: modules that move no number.
#pragma once

#include "nn/arguments.h"
#include "nn/layer.h"

namespace rstorch::nn {

class Flatten final : public Module {
 public:
  static constexpr std::string_view kind = "Flatten";
  static constexpr std::string_view help = "Joins axes into one; by default all but the batch.";
  struct Config {
    int start_dim = 1;
    int end_dim = -1;
    static void describe(auto& field) {
      field("start_dim", &Config::start_dim, "First axis to join; 0 is the batch.");
      field("end_dim", &Config::end_dim, "Last axis to join.");
    }
  };
  Flatten() = default;
  explicit Flatten(const Config& config) : config_(config) {}
  Tensor forward(const Tensor& x) override { return flatten(x, config_.start_dim, config_.end_dim); }

 private:
  Config config_;
};

class Identity final : public Module {
 public:
  static constexpr std::string_view kind = "Identity";
  static constexpr std::string_view help = "Gives its input back.";
  Tensor forward(const Tensor& x) override { return x; }
};

}  // namespace rstorch::nn
