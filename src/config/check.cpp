#include "config/check.h"

#include <cmath>

#include "config/dump.h"

namespace rstorch::config {
namespace {

std::string bound(double x) {
  if (x == std::floor(x) && std::abs(x) < 1e15) return std::to_string(static_cast<int64_t>(x));
  return double_text(x);
}

std::string range_text(const Check& check) {
  const bool has_low = std::isfinite(check.low);
  const bool has_high = std::isfinite(check.high);
  if (check.low == check.high) return bound(check.low);
  if (has_low && has_high && !check.low_open && !check.high_open) return bound(check.low) + " to " + bound(check.high);
  const std::string low = has_low ? (check.low_open ? "> " : ">= ") + bound(check.low) : "";
  const std::string high = has_high ? (check.high_open ? "< " : "<= ") + bound(check.high) : "";
  return low + (has_low && has_high ? " and " : "") + high;
}

}  // namespace

std::string Check::text() const {
  switch (rule) {
    case Rule::range:
      return range_text(*this);
    case Rule::one_of:
      return join(choices, ", ");
    case Rule::non_empty:
      return "not empty";
    case Rule::units: {
      std::string out;
      for (const Unit unit : units) {
        out += (out.empty() ? "in " : " or ") + std::string(unit == Unit::seconds ? "units of time" : unit_name(unit));
      }
      return out;
    }
    case Rule::required:
    case Rule::default_unit:
    case Rule::kind_of:
      return {};
  }
  return {};
}

}  // namespace rstorch::config
