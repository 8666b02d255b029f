// `expect: {val.accuracy: ">= 0.95"}`: what the metrics of a finished run must fulfil. A config that says so is a test.
#pragma once

#include <string>
#include <vector>

#include "config/report.h"
#include "train/metrics.h"

namespace rstorch {

struct Expectation {
  enum class Relation { less, less_equal, equal, greater_equal, greater };

  std::string metric;
  Relation relation = Relation::equal;
  double bound = 0;
  std::string text;  // ">= 0.95", as written
  SourcePosition position;

  bool holds(double value) const;  // never for NaN
};

// `metrics`: the names there are.
std::vector<Expectation> read_expectations(const config::Value& section, const std::vector<std::string>& metrics,
                                           config::Report& report);
// Throws ExpectationError that names every one that does not hold. `run`: whose metrics they are.
void check_expectations(const std::vector<Expectation>& expectations, const Metrics& metrics, const std::string& run);

}  // namespace rstorch
