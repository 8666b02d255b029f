#include "config/duration.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <utility>

#include "config/dump.h"

namespace rstorch::config {
namespace {

struct Spelling {
  std::string_view word;
  Unit unit;
  double factor;
};

constexpr auto spellings = std::to_array<Spelling>({
    {"epoch", Unit::epochs, 1},    {"epochs", Unit::epochs, 1},    {"step", Unit::steps, 1},
    {"steps", Unit::steps, 1},     {"token", Unit::tokens, 1},     {"tokens", Unit::tokens, 1},
    {"sample", Unit::samples, 1},  {"samples", Unit::samples, 1},  {"ms", Unit::seconds, 1e-3},
    {"s", Unit::seconds, 1},       {"sec", Unit::seconds, 1},      {"second", Unit::seconds, 1},
    {"seconds", Unit::seconds, 1}, {"m", Unit::seconds, 60},       {"min", Unit::seconds, 60},
    {"minute", Unit::seconds, 60}, {"minutes", Unit::seconds, 60}, {"h", Unit::seconds, 3600},
    {"hour", Unit::seconds, 3600}, {"hours", Unit::seconds, 3600}, {"d", Unit::seconds, 86400},
    {"day", Unit::seconds, 86400}, {"days", Unit::seconds, 86400},
});

bool is_counted(Unit unit) { return unit == Unit::steps || unit == Unit::tokens || unit == Unit::samples; }

std::string number_text(double x) {
  if (x == std::floor(x) && std::abs(x) < 1e15) return std::to_string(static_cast<int64_t>(x));
  return double_text(x);
}

// The largest unit in which the time is a whole number: 7200 -> "2h", 90 -> "90s".
std::string time_text(double seconds) {
  constexpr std::pair<double, const char*> steps[] = {{86400, "d"}, {3600, "h"}, {60, "m"}};
  for (const auto& [factor, word] : steps) {
    if (seconds >= factor && std::fmod(seconds, factor) == 0) return number_text(seconds / factor) + word;
  }
  return number_text(seconds) + "s";
}

}  // namespace

std::string_view unit_name(Unit unit) {
  switch (unit) {
    case Unit::steps:
      return "steps";
    case Unit::epochs:
      return "epochs";
    case Unit::seconds:
      return "time";
    case Unit::tokens:
      return "tokens";
    case Unit::samples:
      return "samples";
  }
  return "?";
}

std::string Duration::text() const {
  if (unit == Unit::seconds) return time_text(amount);
  std::string_view word = unit_name(unit);
  if (amount == 1) word.remove_suffix(1);
  return number_text(amount) + " " + std::string(word);
}

int64_t in_steps(const Duration& duration, int64_t steps_per_epoch) {
  const double factor = duration.unit == Unit::epochs ? double(steps_per_epoch) : 1;
  if (duration.amount == 0) return 0;
  return std::max<int64_t>(1, std::llround(std::min(duration.amount * factor, 1e18)));
}

std::optional<Duration> parse_duration(std::string_view text) {
  double amount = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), amount);
  if (error != std::errc() || !std::isfinite(amount)) return std::nullopt;
  std::string_view word(end, static_cast<size_t>(text.data() + text.size() - end));
  while (word.starts_with(' ')) word.remove_prefix(1);
  for (const Spelling& spelling : spellings) {
    if (spelling.word != word) continue;
    if (is_counted(spelling.unit) && amount != std::floor(amount)) return std::nullopt;
    return Duration{amount * spelling.factor, spelling.unit};
  }
  return std::nullopt;
}

}  // namespace rstorch::config
