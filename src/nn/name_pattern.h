// Regular expressions over parameter names, as `match:` of a config gives them: the whole name must match.
#pragma once

#include <optional>
#include <regex>
#include <string>
#include <vector>

#include "config/report.h"
#include "nn/module.h"

namespace rstorch::nn {

class NamePattern {
 public:
  // Nothing, and an error in the report, for what is no regular expression.
  static std::optional<NamePattern> read(const config::Value& value, config::Report& report);

  bool matches(const std::string& name) const { return std::regex_match(name, regex_); }
  // To be called for a pattern that matched none of the names.
  void report_unmatched(const std::vector<NamedTensor>& names, config::Report& report) const;

 private:
  NamePattern(config::Value value, std::regex regex) : value_(std::move(value)), regex_(std::move(regex)) {}

  config::Value value_;
  std::regex regex_;
};

}  // namespace rstorch::nn
