// Regular expressions over parameter names, as `match:` of a config gives them: the whole name must match.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "config/report.h"
#include "nn/module.h"

namespace rstorch::nn {

class NamePattern {
 public:
  // Nothing, and an error in the report, for what is no regular expression.
  static std::optional<NamePattern> read(const config::Value& value, config::Report& report);

  bool matches(const std::string& name) const { return matches_(name); }
  // To be called for a pattern that matched none of the names.
  void report_unmatched(const std::vector<NamedTensor>& names, config::Report& report) const;

 private:
  using Matches = std::function<bool(const std::string& name)>;  // <regex> is a second of each file that includes it
  NamePattern(config::Value value, Matches matches) : value_(std::move(value)), matches_(std::move(matches)) {}

  config::Value value_;
  Matches matches_;
};

}  // namespace rstorch::nn
