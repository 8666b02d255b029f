// An amount with a unit: `10 epochs`, `500 steps`, `2h`, `60s`, `524288 tokens`.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace rstorch::config {

enum class Unit { steps, epochs, seconds, tokens, samples };

struct Duration {
  double amount = 0;  // time is in seconds; steps, tokens and samples are whole numbers
  Unit unit = Unit::steps;

  static constexpr Duration steps(double n) { return {n, Unit::steps}; }
  static constexpr Duration epochs(double n) { return {n, Unit::epochs}; }
  static constexpr Duration seconds(double n) { return {n, Unit::seconds}; }
  static constexpr Duration tokens(double n) { return {n, Unit::tokens}; }
  static constexpr Duration samples(double n) { return {n, Unit::samples}; }

  std::string text() const;  // "10 epochs", "1 epoch", "2h", "90s", "1.5 epochs"
  bool operator==(const Duration&) const = default;
};

std::string_view unit_name(Unit unit);  // "steps", "epochs", "time", "tokens", "samples"

// Steps or epochs as a number of steps: 0 for none, else 1 to 1e18.
int64_t in_steps(const Duration& duration, int64_t steps_per_epoch);

// The amount and the unit, or nothing when the text is no such quantity.
std::optional<Duration> parse_duration(std::string_view text);

}  // namespace rstorch::config
