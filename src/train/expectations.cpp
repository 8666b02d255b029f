#include "train/expectations.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <optional>

#include "config/suggest.h"

namespace rstorch {
namespace {

using config::Code;
using config::Value;
using Relation = Expectation::Relation;

constexpr std::string_view kHelp = "write a relation and a number: \">= 0.95\", \"< 0.1\"";

// Two characters before one.
constexpr std::array<std::pair<std::string_view, Relation>, 5> kRelations = {{{"<=", Relation::less_equal},
                                                                              {">=", Relation::greater_equal},
                                                                              {"==", Relation::equal},
                                                                              {"<", Relation::less},
                                                                              {">", Relation::greater}}};

std::optional<std::pair<Relation, double>> parse(std::string_view text) {
  for (const auto& [sign, relation] : kRelations) {
    if (!text.starts_with(sign)) continue;
    text.remove_prefix(sign.size());
    while (text.starts_with(' ')) text.remove_prefix(1);
    double bound = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), bound);
    if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(bound)) return {};
    return std::pair{relation, bound};
  }
  return {};
}

void unknown_metric(const Value& entry, const std::vector<std::string>& metrics, config::Report& report) {
  const std::vector<std::string_view> known(metrics.begin(), metrics.end());
  const config::Suggestion suggestion = config::suggest_key(entry.key(), known);
  report.error(Code::unknown_key, format("there is no metric `{}` to expect something of", entry.key()))
      .key(entry)
      .label(suggestion.label)
      .help(suggestion.help.empty() ? "" : format("the metrics are: {}", join(metrics, ", ")))
      .help(metrics.size() > 1 ? "" : "give `data.val` or `data.val_fraction` to have metrics of a validation");
}

}  // namespace

bool Expectation::holds(double value) const {
  switch (relation) {
    case Relation::less:
      return value < bound;
    case Relation::less_equal:
      return value <= bound;
    case Relation::equal:
      return value == bound;
    case Relation::greater_equal:
      return value >= bound;
    case Relation::greater:
      return value > bound;
  }
  return false;
}

std::vector<Expectation> read_expectations(const Value& section, const std::vector<std::string>& metrics,
                                           config::Report& report) {
  std::vector<Expectation> out;
  if (section.is_null() || section.is_broken()) return out;
  if (!section.is_map()) {
    report.error(Code::wrong_type, "`expect` is a map of metrics")
        .at(section)
        .help("expect: {val.accuracy: \">= 0.95\"}");
    return out;
  }
  for (const Value& entry : section.items()) {
    if (entry.is_broken()) continue;
    if (std::find(metrics.begin(), metrics.end(), entry.key()) == metrics.end()) {
      unknown_metric(entry, metrics, report);
      continue;
    }
    const auto parsed = entry.is_string() ? parse(entry.as_string()) : std::nullopt;
    if (!parsed) {
      report.error(Code::wrong_type, format("`{}` is no expectation", entry.text())).at(entry).help(std::string(kHelp));
      continue;
    }
    out.push_back({entry.key(), parsed->first, parsed->second, entry.as_string(), entry.position()});
  }
  return out;
}

void check_expectations(const std::vector<Expectation>& expectations, const Metrics& metrics, const std::string& run) {
  std::vector<std::string> failed;
  SourcePosition position;
  for (const Expectation& expected : expectations) {
    const double* value = find_metric(metrics, expected.metric);
    if (value && expected.holds(*value)) continue;
    if (failed.empty()) position = expected.position;
    failed.push_back(value && std::isfinite(*value)
                         ? format("{} is {:.6g}, expected {}", expected.metric, *value, expected.text)
                         : format("{} has no finite value, expected {}", expected.metric, expected.text));
  }
  if (failed.empty()) return;
  ExpectationError error(format("{} does not do what its config expects: {}", run, join(failed, "; ")));
  error.set_position(std::move(position));
  throw error;
}

}  // namespace rstorch
