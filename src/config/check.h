// What a field demands of its value, as data: the same record checks the YAML, prints the help and the JSON schema.
//
//   field("lr", &Config::lr, "Step size.", positive);
//   field("betas", &Config::betas, "Decay of the averages.", each(in_range(0.0, 1.0)));
//   field("name", &Config::name, "Name of the run.", required, non_empty);
//   field("patience", &Config::patience, "...", default_unit(Unit::epochs), positive);
//   field("optimizer", &Config::optimizer, "...", kind_of(optimizer_kinds));     // help and schema of a Value field
//
// The names are also visible in namespace rstorch, so that a Config anywhere in it can write them bare.
#pragma once

#include <concepts>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "base/format.h"
#include "config/duration.h"
#include "config/value.h"

namespace rstorch::config {

struct KindTable;  // registry.h

struct Check {
  enum class Rule { required, range, one_of, non_empty, units, default_unit, kind_of };
  Rule rule = Rule::required;
  bool per_element = false;
  // range; open ends exclude the bound
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();
  bool low_open = false;
  bool high_open = false;
  std::vector<std::string> choices = {};  // one_of
  std::vector<Unit> units = {};           // units, default_unit
  const KindTable& (*kinds)() = nullptr;  // kind_of

  // "> 0", "0 to 1", "min or max", "not empty"; empty for rules that limit nothing
  std::string text() const;
};

inline const Check required{.rule = Check::Rule::required};
inline const Check non_empty{.rule = Check::Rule::non_empty};
inline const Check positive{.rule = Check::Rule::range, .low = 0, .low_open = true};
inline const Check non_negative{.rule = Check::Rule::range, .low = 0};

inline Check at_least(double low) { return {.rule = Check::Rule::range, .low = low}; }
inline Check at_most(double high) { return {.rule = Check::Rule::range, .high = high}; }
inline Check greater_than(double low) { return {.rule = Check::Rule::range, .low = low, .low_open = true}; }
inline Check less_than(double high) { return {.rule = Check::Rule::range, .high = high, .high_open = true}; }
// Both ends belong to it.
inline Check in_range(double low, double high) { return {.rule = Check::Rule::range, .low = low, .high = high}; }
// low <= x < high, as a probability of dropping or a decay.
inline Check in_half_open(double low, double high) {
  return {.rule = Check::Rule::range, .low = low, .high = high, .high_open = true};
}

template <class... Choices>
Check one_of(const Choices&... choices) {
  return {.rule = Check::Rule::one_of, .choices = {format("{}", choices)...}};
}

// For each element of a list (or value of a map) rather than the whole.
inline Check each(Check check) {
  check.per_element = true;
  return check;
}

// Which units a Duration takes, and which one a bare number means.
template <std::same_as<Unit>... Units>
Check units(Units... units) {
  return {.rule = Check::Rule::units, .units = {units...}};
}
inline Check default_unit(Unit unit) { return {.rule = Check::Rule::default_unit, .units = {unit}}; }

// Says of a Value field that it names a kind of this registry; for help and schema.
inline Check kind_of(const KindTable& (*kinds)()) { return {.rule = Check::Rule::kind_of, .kinds = kinds}; }

}  // namespace rstorch::config

namespace rstorch {
using config::at_least;
using config::at_most;
using config::default_unit;
using config::each;
using config::greater_than;
using config::in_half_open;
using config::in_range;
using config::kind_of;
using config::less_than;
using config::non_empty;
using config::non_negative;
using config::one_of;
using config::positive;
using config::required;
}  // namespace rstorch
