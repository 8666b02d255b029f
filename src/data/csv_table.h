// Reading CSV text (RFC 4180) into columns. What a column means is csv.h's business.
//
// Quotes, doubled quotes and line breaks inside quotes, LF or CRLF, a byte order mark, blank lines between rows. One
// pass over the mapped file; a cell that is a number is never turned into a string. Throws DataError with
// FILE:LINE:COLUMN, where the column counts cells.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"

namespace rstorch::data {

struct CsvFormat {
  char delimiter = ',';
  int64_t skip_rows = 0;                       // lines before the header
  std::optional<bool> header = {};             // left out: the first row is one if no cell of it is a number
  std::vector<std::string> column_names = {};  // in place of the header's
};

// All cells are numbers, or all are codes: places in `categories`, which holds their texts in the order met.
struct CsvColumn {
  std::string name;
  bool numeric = true;
  std::vector<double> values = {};  // nan: the cell is empty or says NA, NaN, null, ?
  std::vector<std::string> categories = {};
};

class CsvTable {
 public:
  // What a column is read as. automatic: numbers if the first cell that is not missing is one (then all must be), else
  // categories. categories: even if they look like numbers. ignored: not looked at, has no values.
  enum class Role { automatic, categories, ignored };
  using RoleOf = std::function<Role(const std::string& name)>;
  CsvTable(const std::filesystem::path& path, const CsvFormat& format, const RoleOf& role_of);

  const std::filesystem::path& path() const { return path_; }
  const std::vector<CsvColumn>& columns() const { return columns_; }
  int64_t rows() const { return int64_t(lines_.size()); }
  // Keeps only the rows for which it holds.
  void keep(const std::function<bool(int64_t)>& holds);
  // The column of that name, or nothing.
  std::optional<size_t> find(std::string_view name) const;
  std::string names() const;  // "a, b, c"
  // "data.csv:12:3: MESSAGE"
  DataError error(int64_t row, size_t column, const std::string& message, const std::string& hint = {}) const;

 private:
  void check_categories(const RoleOf& role_of) const;
  void warn_of_numbers(const CsvColumn& column, Role role) const;

  std::filesystem::path path_;
  std::vector<CsvColumn> columns_;
  std::vector<int64_t> lines_;  // of each row, from 1
};

}  // namespace rstorch::data
