#include "train/text_table.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/format.h"

namespace rstorch {
namespace {

std::string with_prefix(double x, std::string_view unit) {
  constexpr std::array<std::string_view, 5> kPrefixes = {"", "k", "M", "G", "T"};
  size_t i = 0;
  while (x >= 999.5 && i + 1 < kPrefixes.size()) x /= 1000, ++i;
  return format("{:.{}f} {}{}", x, i == 0 || x >= 99.95 ? 0 : 1, kPrefixes[i], unit);
}

}  // namespace

std::string TextTable::text() const {
  std::vector<std::string> heads;
  std::vector<size_t> widths;
  for (const Column& column : columns_) {
    heads.push_back(column.head);
    widths.push_back(column.head.size());
  }
  for (const auto& row : rows_) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string out;
  const auto add_line = [&](const std::vector<std::string>& cells) {
    std::string line;
    for (size_t i = 0; i < cells.size(); ++i) {
      const std::string padding(widths[i] - cells[i].size(), ' ');
      line += columns_[i].align == Align::right ? padding + cells[i] : cells[i] + padding;
      line += "  ";
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
  };
  add_line(heads);
  for (const auto& row : rows_) add_line(row);
  return out;
}

std::string grouped(int64_t x) {
  std::string digits = std::to_string(x);
  for (auto i = int64_t(digits.size()) - 3; i > (x < 0 ? 1 : 0); i -= 3) digits.insert(size_t(i), 1, ',');
  return digits;
}

std::string bytes_text(double bytes) { return with_prefix(bytes, "B"); }
std::string flops_text(double flops) { return with_prefix(flops, "FLOP"); }

std::string short_number(double x) {
  if (x >= 99.95e6) return format("{:.0f}M", x / 1e6);
  if (x >= 999.5e3) return format("{:.1f}M", x / 1e6);
  if (x >= 99.95e3) return format("{:.0f}k", x / 1e3);
  if (x >= 9999.5) return format("{:.1f}k", x / 1e3);
  return format("{:.0f}", x);
}

std::string duration_text(double seconds) {
  if (seconds < 9.95) return format("{:.1f} s", seconds);
  const auto whole = int64_t(std::llround(seconds));
  if (whole < 60) return format("{} s", whole);
  if (whole < 3600) return format("{}:{:02}", whole / 60, whole % 60);
  return format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
}

}  // namespace rstorch
