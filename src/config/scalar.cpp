// How a plain scalar reads. YAML 1.2's core schema, minus what readers of YAML disagree about: that is an error.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "config/load.h"

namespace rstorch::config {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool all_digits(std::string_view s) { return !s.empty() && std::all_of(s.begin(), s.end(), is_digit); }

// A number as text, cut into its parts: sign, digits, fraction, exponent.
struct Number {
  bool negative = false;
  std::string_view whole;     // digits before the point
  std::string_view fraction;  // digits behind it
  bool has_point = false;
  bool has_exponent = false;
  std::string_view unsigned_text;
};

std::optional<Number> split_number(std::string_view text) {
  Number n;
  if (text.starts_with('-') || text.starts_with('+')) {
    n.negative = text[0] == '-';
    text.remove_prefix(1);
  }
  n.unsigned_text = text;
  const auto take_digits = [&text] {
    const size_t count = static_cast<size_t>(std::find_if_not(text.begin(), text.end(), is_digit) - text.begin());
    const std::string_view digits = text.substr(0, count);
    text.remove_prefix(count);
    return digits;
  };
  n.whole = take_digits();
  if (text.starts_with('.')) {
    n.has_point = true;
    text.remove_prefix(1);
    n.fraction = take_digits();
  }
  if (n.whole.empty() && n.fraction.empty()) return std::nullopt;
  if (text.starts_with('e') || text.starts_with('E')) {
    n.has_exponent = true;
    text.remove_prefix(1);
    if (text.starts_with('-') || text.starts_with('+')) text.remove_prefix(1);
    if (take_digits().empty()) return std::nullopt;
  }
  if (!text.empty()) return std::nullopt;
  return n;
}

// 0x1F, 0o17, 0b101: the value, when the digits are right for the base.
std::optional<uint64_t> prefixed_number(std::string_view text) {
  if (text.starts_with('-') || text.starts_with('+')) text.remove_prefix(1);
  if (text.size() < 3 || text[0] != '0') return std::nullopt;
  const char letter = static_cast<char>(text[1] | 0x20);
  const int base = letter == 'x' ? 16 : letter == 'o' ? 8 : letter == 'b' ? 2 : 0;
  if (base == 0) return std::nullopt;
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data() + 2, text.data() + text.size(), value, base);
  if (end != text.data() + text.size()) return std::nullopt;
  return error == std::errc() ? value : std::numeric_limits<uint64_t>::max();
}

// 1_000 or 12_345_678.5: digits in groups of three.
bool has_digit_groups(std::string_view text) {
  if (text.starts_with('-') || text.starts_with('+')) text.remove_prefix(1);
  text = text.substr(0, text.find('.'));
  size_t group = text.find('_');
  if (group == std::string_view::npos || group < 1 || group > 3 || !all_digits(text.substr(0, group))) return false;
  for (text.remove_prefix(group); !text.empty(); text.remove_prefix(4)) {
    if (text.size() < 4 || text[0] != '_' || !all_digits(text.substr(1, 3))) return false;
  }
  return true;
}

std::string without_underscores(std::string_view text) {
  std::string out(text);
  std::erase(out, '_');
  return out;
}

Value unclear(std::string_view text, const std::string& why, const std::string& help, const Span& where,
              Report& report) {
  report.error(Code::ambiguous_scalar, format("`{}` {}", text, why)).at(where).help(help);
  return Value::broken(where);
}

Value read_integer(std::string_view text, const Number& n, const Span& where, Report& report) {
  int64_t value = 0;
  const std::string digits = (n.negative ? "-" : "") + std::string(n.unsigned_text);
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error == std::errc()) return value;
  return unclear(text, "does not fit into 64 bits", format("quote it if it is text: \"{}\"", text), where, report);
}

Value read_real(std::string_view text, const Number& n, const Span& where, Report& report) {
  double value = 0;
  const auto [end, error] =
      std::from_chars(n.unsigned_text.data(), n.unsigned_text.data() + n.unsigned_text.size(), value);
  if (error == std::errc()) return n.negative ? -value : value;
  return unclear(text, "is out of the range of a number",
                 format("numbers go up to 1.8e308 and down to 2.2e-308; quote it if it is text: \"{}\"", text), where,
                 report);
}

Value leading_zero(std::string_view text, const Number& n, const Span& where, Report& report) {
  std::string plain(n.unsigned_text);
  plain.erase(0, std::min(plain.find_first_not_of('0'), n.whole.size() - 1));
  if (n.negative) plain.insert(0, "-");
  const bool octal = !n.has_point && !n.has_exponent && n.whole.find_first_of("89") == std::string_view::npos;
  std::string help = format("write {}", plain);
  if (octal && n.whole.size() < 16) {
    help +=
        format(" (or {}{} if octal was meant)", n.negative ? "-" : "", std::stoull(std::string(n.whole), nullptr, 8));
  }
  return unclear(text, "has a leading zero: programs read it differently",
                 help + format("; quote it if it is text: \"{}\"", text), where, report);
}

}  // namespace

Value resolve_plain(std::string_view text, Span where, Report& report) {
  const auto placed = [&](Value value) {
    value.set_span(where, true);
    return value;
  };
  if (text.empty() || text == "~" || text == "null") return placed(Value());
  if (text == "true") return placed(true);
  if (text == "false") return placed(false);
  if (text == ".inf" || text == "+.inf") return placed(std::numeric_limits<double>::infinity());
  if (text == "-.inf") return placed(-std::numeric_limits<double>::infinity());
  if (text == ".nan") return placed(std::numeric_limits<double>::quiet_NaN());

  if (const auto n = split_number(text)) {
    if (n->whole.size() > 1 && n->whole[0] == '0') return leading_zero(text, *n, where, report);
    return placed(n->has_point || n->has_exponent ? read_real(text, *n, where, report)
                                                  : read_integer(text, *n, where, report));
  }
  if (const auto value = prefixed_number(text)) {
    const std::string sign = text.starts_with('-') ? "-" : "";
    return unclear(text, "is not a decimal number: programs read it differently",
                   format("write {}{}; quote it if it is text: \"{}\"", sign, *value, text), where, report);
  }
  if (has_digit_groups(text)) {
    return unclear(text, "has `_` between digits: programs read it differently",
                   format("write {}; quote it if it is text: \"{}\"", without_underscores(text), text), where, report);
  }
  return placed(Value(text));
}

Value resolve_number(std::string_view text) {
  Report ignored;
  Value value = resolve_plain(text, {}, ignored);
  return value.is_number() ? value : Value();
}

}  // namespace rstorch::config
