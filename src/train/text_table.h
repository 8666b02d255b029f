// Text for people: tables, and numbers in a few characters.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace rstorch {

class TextTable {
 public:
  enum class Align { left, right };
  struct Column {
    std::string head;
    Align align = Align::left;
  };

  explicit TextTable(std::vector<Column> columns) : columns_(std::move(columns)) {}
  void add(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  // Heads, rows; two spaces between columns, none at line ends. Ends with a newline.
  std::string text() const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

// "1,234,567"
std::string grouped(int64_t x);
// "512 B", "1.4 MB" (10^6)
std::string bytes_text(double bytes);
// "1234", "12.3k", "4.6M"
std::string short_number(double x);
// "0.4 s", "12 s", "3:05", "2:10:00"
std::string duration_text(double seconds);
// "12.3 MFLOP"
std::string flops_text(double flops);

}  // namespace rstorch
