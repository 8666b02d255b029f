// Named numbers of a run, by the names that `expect`, metrics.jsonl and `--json` use: train.loss, val.accuracy, lr.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace rstorch {

using Metrics = std::vector<std::pair<std::string, double>>;

inline const double* find_metric(const Metrics& metrics, std::string_view name) {
  for (const auto& [key, value] : metrics) {
    if (key == name) return &value;
  }
  return nullptr;
}

// "0.1234"; "nan" without the sign that processors give it.
std::string metric_text(double value);
// "loss 0.1234  accuracy 0.9806"
std::string metrics_text(const Metrics& metrics);

}  // namespace rstorch
