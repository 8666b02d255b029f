#include "data/csv_table.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <string_view>
#include <unordered_map>

#include "base/log.h"
#include "base/utf8.h"
#include "data/file.h"

namespace rstorch::data {
namespace {

namespace fs = std::filesystem;

constexpr double kMissing = std::numeric_limits<double>::quiet_NaN();

DataError error_at(const fs::path& path, int64_t line, size_t column, const std::string& message,
                   const std::string& hint = {}) {
  return DataError(format("{}:{}:{}: {}", path.string(), line, column + 1, message), hint, 3);
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

bool is_missing(std::string_view cell) {
  constexpr std::array<std::string_view, 8> spellings = {"", "?", "NA", "N/A", "NaN", "nan", "null", "NULL"};
  return std::ranges::find(spellings, cell) != spellings.end();
}

std::optional<double> parse_number(std::string_view cell) {
  if (cell.starts_with('+') && !cell.starts_with("+-")) cell.remove_prefix(1);
  double value = 0;
  const auto [end, error] = std::from_chars(cell.data(), cell.data() + cell.size(), value);
  if (error == std::errc::invalid_argument || end != cell.data() + cell.size()) return {};
  // Beyond the range of double: 0 or infinity, which from_chars does not tell.
  if (error == std::errc::result_out_of_range) return std::strtod(std::string(cell).c_str(), nullptr);
  return value;
}

// Cuts a text into rows of cells.
class Reader {
 public:
  Reader(const fs::path& path, std::string_view text, char delimiter)
      : path_(path), text_(text), delimiter_(delimiter) {
    constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";
    if (text_.starts_with(byte_order_mark)) at_ = byte_order_mark.size();
  }

  // Line of the row that was read last, from 1.
  int64_t line() const { return row_line_; }

  void skip_line() {
    if (at_ >= text_.size()) return;
    at_ = std::min(text_.find('\n', at_), text_.size() - 1) + 1;
    ++next_line_;
  }

  // The cells of the next row that is not blank; false at the end. They are valid until the next call.
  bool next(std::vector<std::string_view>& cells) {
    skip_blank_lines();
    cells.clear();
    used_ = 0;
    if (at_ >= text_.size()) return false;
    row_line_ = next_line_;
    do cells.push_back(cell(cells.size()));
    while (take(delimiter_));
    end_of_line();
    return true;
  }

 private:
  bool take(char c) {
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }

  void end_of_line() {
    take('\r');
    take('\n');
    ++next_line_;
  }

  void skip_blank_lines() {
    while (at_ < text_.size() && (text_[at_] == '\n' || text_.substr(at_, 2) == "\r\n")) end_of_line();
  }

  bool at_end_of_line() const {
    return at_ >= text_.size() || text_[at_] == '\n' || text_.substr(at_, 2) == "\r\n" || text_.substr(at_) == "\r";
  }

  std::string_view cell(size_t column) {
    if (at_ < text_.size() && text_[at_] == '"') return quoted_cell(column);
    const size_t begin = at_;
    while (at_ < text_.size() && text_[at_] != delimiter_ && text_[at_] != '\n') ++at_;
    const bool carriage_return = at_ > begin && text_[at_ - 1] == '\r' && (at_ == text_.size() || text_[at_] == '\n');
    if (carriage_return) --at_;
    return trimmed(text_.substr(begin, at_ - begin));
  }

  std::string_view quoted_cell(size_t column) {
    std::string& out = next_buffer();
    const int64_t line = next_line_;
    for (++at_;; ++at_) {
      const size_t begin = at_;
      at_ = std::min(text_.find('"', at_), text_.size());
      out.append(text_, begin, at_ - begin);
      if (at_ == text_.size()) throw error_at(path_, line, column, "a quote is opened and never closed");
      ++at_;
      if (at_ >= text_.size() || text_[at_] != '"') break;
      out.push_back('"');  // "" stands for one quote
    }
    next_line_ += std::ranges::count(out, '\n');
    if (at_end_of_line() || text_[at_] == delimiter_) return out;
    throw error_at(path_, next_line_, column, "text behind a closing quote", "a quote inside quotes is written twice");
  }

  // Used again by the next rows, so that unquoting seldom allocates.
  std::string& next_buffer() {
    if (used_ == buffers_.size()) buffers_.push_back(std::make_unique<std::string>());
    std::string& buffer = *buffers_[used_++];
    buffer.clear();
    return buffer;
  }

  const fs::path& path_;
  std::string_view text_;
  char delimiter_;
  size_t at_ = 0;
  int64_t next_line_ = 1;
  int64_t row_line_ = 0;
  std::vector<std::unique_ptr<std::string>> buffers_;  // of the quoted cells of a row
  size_t used_ = 0;
};

// Turns the cells of one column into numbers or codes.
class ColumnBuilder {
 public:
  ColumnBuilder(CsvColumn& column, CsvTable::Role role)
      : column_(column), ignored_(role == CsvTable::Role::ignored), decided_(role == CsvTable::Role::categories) {
    column.numeric = !decided_;
  }

  // False where a finite number was wanted.
  bool add(std::string_view cell) {
    if (ignored_) return true;
    const std::optional<double> number = column_.numeric ? parse_number(cell) : std::nullopt;
    if (number && std::isfinite(*number)) {
      decided_ = true;
      column_.values.push_back(*number);
      return true;
    }
    if (is_missing(cell)) {
      column_.values.push_back(kMissing);
      return true;
    }
    if (number || (decided_ && column_.numeric)) return false;
    decided_ = true;
    column_.numeric = false;
    column_.values.push_back(code_of(cell));
    return true;
  }

 private:
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };

  double code_of(std::string_view cell) {
    const auto known = codes_.find(cell);
    if (known != codes_.end()) return known->second;
    const auto code = double(column_.categories.size());
    column_.categories.emplace_back(cell);
    codes_.emplace(cell, code);
    return code;
  }

  CsvColumn& column_;
  bool ignored_;
  bool decided_;  // what the column holds
  std::unordered_map<std::string, double, Hash, std::equal_to<>> codes_;
};

std::vector<std::string> default_names(size_t count) {
  std::vector<std::string> names;
  for (size_t i = 0; i < count; ++i) names.push_back(format("column{}", i));
  return names;
}

// Names end up in messages, checkpoints and predictions: they have to be text. Nothing: this one is.
std::optional<std::string> refusal_of_text(std::string_view text) {
  const std::optional<size_t> at = find_bad_byte(text);
  if (!at) return {};
  constexpr size_t kShown = 40;  // of what may be no table at all
  return format("`{}{}` has {}", printable(text.substr(0, kShown)), text.size() > kShown ? "..." : "",
                describe_bad_byte(text[*at]));
}

constexpr const char* kNotText = "save the file as UTF-8: iconv -f LATIN1 -t UTF-8, if LATIN1 is what it is";

void check_names(const fs::path& path, int64_t line, const std::vector<std::string>& names) {
  for (size_t i = 0; i < names.size(); ++i) {
    if (const auto refusal = refusal_of_text(names[i])) throw error_at(path, line, i, "the name " + *refusal, kNotText);
    const auto first = size_t(std::ranges::find(names, names[i]) - names.begin());
    if (first == i) continue;
    throw error_at(path, line, i, format("columns {} and {} are both named `{}`", first + 1, i + 1, names[i]),
                   "mend the header, or name all columns in data.column_names");
  }
}

// A first row of one cell with the usual delimiters in it is cut at the wrong ones.
void check_delimiter(const fs::path& path, int64_t line, std::string_view cell, char delimiter) {
  for (const auto& [other, name] : {std::pair(';', ";"), {'\t', "\\t"}, {',', ","}, {'|', "|"}}) {
    if (other == delimiter || cell.find(other) == cell.npos) continue;
    throw error_at(path, line, 0, "the row is a single cell, and there are no features without a second column",
                   format("the delimiter seems to be `{0}`: write delimiter: \"{0}\"", name));
  }
}

}  // namespace

CsvTable::CsvTable(const fs::path& path, const CsvFormat& format, const RoleOf& role_of) : path_(path) {
  const Tensor bytes = read_bytes(path);
  const std::string_view text(reinterpret_cast<const char*>(bytes.data<uint8_t>()), bytes.bytes());
  if (text.starts_with("\xFF\xFE") || text.starts_with("\xFE\xFF")) {
    throw damaged(path, 0, "UTF-16 text", "UTF-8", "convert it: iconv -f UTF-16 -t UTF-8");
  }
  Reader reader(path, text, format.delimiter);
  for (int64_t i = 0; i < format.skip_rows; ++i) reader.skip_line();

  std::vector<std::string_view> cells;
  if (!reader.next(cells)) throw DataError(rstorch::format("{}: there are no rows", path.string()), {}, 3);
  const size_t width = cells.size();
  const int64_t first_line = reader.line();
  if (width == 1) check_delimiter(path, first_line, cells[0], format.delimiter);
  const bool has_header = format.header.value_or(
      std::ranges::none_of(cells, [](std::string_view cell) { return parse_number(cell).has_value(); }));
  std::vector<std::string> names = default_names(width);
  if (has_header) names.assign(cells.begin(), cells.end());
  if (!format.column_names.empty()) names = format.column_names;
  if (names.size() != width) {
    throw error_at(path, first_line, 0,
                   rstorch::format("got {} cells, wanted {}, as many as column_names", width, names.size()));
  }

  check_names(path, first_line, names);
  columns_.reserve(width);
  std::vector<ColumnBuilder> builders;
  for (size_t i = 0; i < width; ++i) {
    columns_.push_back({.name = names[i]});
    builders.emplace_back(columns_.back(), role_of(names[i]));
  }
  for (bool more = has_header ? reader.next(cells) : true; more; more = reader.next(cells)) {
    if (cells.size() != width) {
      throw error_at(path, reader.line(), std::min(cells.size(), width) - 1,
                     rstorch::format("got {} cells, wanted {} as in line {}", cells.size(), width, first_line));
    }
    lines_.push_back(reader.line());
    for (size_t i = 0; i < width; ++i) {
      if (builders[i].add(cells[i])) continue;
      throw error_at(
          path, reader.line(), i,
          rstorch::format("got `{}`, wanted a finite number: column {} holds numbers", printable(cells[i]), names[i]),
          rstorch::format("if its numbers are names of categories, write categorical: [{}]", names[i]));
    }
  }
  if (lines_.empty()) {
    throw DataError(rstorch::format("{}: there are no rows below the header", path.string()),
                    "if the first row holds data, write header: false", 3);
  }
  check_categories(role_of);
}

void CsvTable::check_categories(const RoleOf& role_of) const {
  for (size_t i = 0; i < columns_.size(); ++i) {
    const CsvColumn& column = columns_[i];
    warn_of_numbers(column, role_of(column.name));
    for (size_t code = 0; code < column.categories.size(); ++code) {
      const auto refusal = refusal_of_text(column.categories[code]);
      if (!refusal) continue;
      throw error(std::ranges::find(column.values, double(code)) - column.values.begin(), i, *refusal, kNotText);
    }
  }
}

// The first cell decides what a column holds; one that is mostly numbers may have been meant as such.
void CsvTable::warn_of_numbers(const CsvColumn& column, Role role) const {
  if (column.numeric || role == Role::categories || column.categories.empty()) return;
  const auto numbers = std::ranges::count_if(column.categories, [](const auto& c) { return parse_number(c).has_value(); });
  if (2 * size_t(numbers) <= column.categories.size()) return;
  logging::warning(format(
      "{}: column {} is taken as categories: its first value is `{}`, though {} of its {} different values are numbers; "
      "mend that value, or write categorical: [{}]",
      path_.string(), column.name, column.categories[0], numbers, column.categories.size(), column.name));
}

void CsvTable::keep(const std::function<bool(int64_t)>& holds) {
  size_t kept = 0;
  for (size_t row = 0; row < lines_.size(); ++row) {
    if (!holds(int64_t(row))) continue;
    lines_[kept] = lines_[row];
    for (CsvColumn& column : columns_) {
      if (!column.values.empty()) column.values[kept] = column.values[row];  // ignored ones have none
    }
    ++kept;
  }
  lines_.resize(kept);
  for (CsvColumn& column : columns_) column.values.resize(std::min(kept, column.values.size()));
}

std::optional<size_t> CsvTable::find(std::string_view name) const {
  const auto found = std::ranges::find(columns_, name, &CsvColumn::name);
  if (found == columns_.end()) return {};
  return size_t(found - columns_.begin());
}

std::string CsvTable::names() const {
  std::string out;
  for (const CsvColumn& column : columns_) out += (out.empty() ? "" : ", ") + column.name;
  return out;
}

DataError CsvTable::error(int64_t row, size_t column, const std::string& message, const std::string& hint) const {
  return error_at(path_, lines_[size_t(row)], column, message, hint);
}

}  // namespace rstorch::data
