#include "config/dump.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <vector>

#include "base/format.h"
#include "config/load.h"

namespace rstorch::config {
namespace {

constexpr size_t flow_width = 100;  // longer lists of scalars go into lines

bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; }

// Words that some reader of YAML takes for a boolean or null.
bool is_reserved(std::string_view text) {
  std::string low;
  for (const char c : text.substr(0, 6)) low += c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  for (const char* word : {"true", "false", "yes", "no", "on", "off", "y", "n", "null", "none", "~"}) {
    if (low == word) return true;
  }
  return false;
}

bool needs_quotes(std::string_view text, bool flow) {
  if (text.empty() || text.front() == ' ' || text.back() == ' ' || text.back() == ':') return true;
  if (std::string_view("-?:,[]{}#&*!|>'\"%@`=").find(text[0]) != std::string_view::npos) {
    const bool word = text[0] == '-' && text.size() > 1 && text[1] != ' ' && text != "---";
    if (!word) return true;
  }
  if (text.starts_with("---") || text.starts_with("...")) return true;
  if (text.find(": ") != std::string_view::npos || text.find(" #") != std::string_view::npos) return true;
  if (flow && text.find_first_of(",[]{}:") != std::string_view::npos) return true;
  if (std::any_of(text.begin(), text.end(), is_control) || is_reserved(text)) return true;
  Report report;
  return !resolve_plain(text, {}, report).is_string();
}

std::string quoted(std::string_view text) {
  const bool special = std::any_of(text.begin(), text.end(), is_control);
  if (!special && text.find('"') != std::string_view::npos && text.find('\'') == std::string_view::npos) {
    return format("'{}'", text);
  }
  if (!special && text.find('\\') != std::string_view::npos && text.find('\'') == std::string_view::npos) {
    return format("'{}'", text);
  }
  return json_string(text);  // YAML's double quotes know every escape of JSON
}

std::string string_text(std::string_view text, bool flow) {
  return needs_quotes(text, flow) ? quoted(text) : std::string(text);
}

std::string scalar_text(const Value& value, bool flow) {
  if (value.is_string()) return string_text(value.as_string(), flow);
  if (!value.is_real()) return value.text();
  const double x = value.as_double();
  if (std::isnan(x)) return ".nan";
  if (std::isinf(x)) return x > 0 ? ".inf" : "-.inf";
  return double_text(x);
}

std::string flow_text(const Value& value) {
  if (value.is_scalar()) return scalar_text(value, true);
  std::string out;
  for (const Value& item : value.items()) {
    if (!out.empty()) out += ", ";
    if (value.is_map()) out += string_text(item.key(), true) + ": ";
    out += flow_text(item);
  }
  return value.is_map() ? "{" + out + "}" : "[" + out + "]";
}

bool all_scalars(const Value& value) {
  return std::all_of(value.items().begin(), value.items().end(), [](const Value& item) { return item.is_scalar(); });
}

// Writes values line by line; each line remembers the value that it shows, for the origins.
class Dumper {
 public:
  // `all_lines`: a line for every key, even of maps that the file has in braces.
  explicit Dumper(bool all_lines) : all_lines_(all_lines) {}

  struct Line {
    std::string text;
    const Value* value;
  };

  std::vector<Line> lines(const Value& root) {
    if (fits_line(root, 0)) {
      lines_.push_back({flow_text_or_scalar(root), &root});
    } else {
      block(root, 0);
    }
    return std::move(lines_);
  }

 private:
  static std::string flow_text_or_scalar(const Value& value) {
    return value.is_scalar() ? scalar_text(value, false) : flow_text(value);
  }

  bool fits_line(const Value& value, size_t used) const {
    if (value.is_scalar() || value.empty()) return true;
    const bool wanted =
        value.is_list() ? all_scalars(value) || (value.is_flow() && !all_lines_) : value.is_flow() && !all_lines_;
    return wanted && used + flow_text(value).size() <= flow_width;
  }

  // The children of a list or map, each from `indent` on. `head` is put before the first.
  void block(const Value& value, size_t indent, const std::string& head = {}) {
    std::string before = head.empty() ? std::string(indent, ' ') : head;
    for (const Value& item : value.items()) {
      if (value.is_map()) {
        entry(before + string_text(item.key(), false) + ":", item, indent + 2);
      } else {
        list_item(before + "- ", item, indent + 2);
      }
      before = std::string(indent, ' ');
    }
  }

  void entry(const std::string& head, const Value& item, size_t indent) {
    if (fits_line(item, head.size())) {
      lines_.push_back({head + " " + flow_text_or_scalar(item), &item});
      return;
    }
    lines_.push_back({head, nullptr});
    block(item, indent);
  }

  void list_item(const std::string& head, const Value& item, size_t indent) {
    if (fits_line(item, head.size())) {
      lines_.push_back({head + flow_text_or_scalar(item), &item});
      return;
    }
    block(item, indent, head);
  }

  bool all_lines_;
  std::vector<Line> lines_;
};

std::string origin_text(const Value& value) {
  if (!value.span().known()) return "default";
  return value.note().empty() ? value.span().where() : value.span().where() + ", " + value.note();
}

void write_json(const Value& value, int indent, int depth, std::string& out) {
  const auto line = [&](int level) {
    if (indent > 0) out += "\n" + std::string(static_cast<size_t>(indent * level), ' ');
  };
  if (value.is_scalar()) {
    if (value.is_string()) {
      out += json_string(value.as_string());
    } else if (value.is_real()) {
      out += std::isfinite(value.as_double()) ? double_text(value.as_double()) : "null";
    } else {
      out += value.text();
    }
    return;
  }
  out += value.is_map() ? '{' : '[';
  const bool lines = !(value.is_list() && all_scalars(value)) && !value.empty();
  bool first = true;
  for (const Value& item : value.items()) {
    if (!first) out += lines && indent > 0 ? "," : ", ";
    first = false;
    if (lines) line(depth + 1);
    if (value.is_map()) out += json_string(item.key()) + ": ";
    write_json(item, indent, depth + 1, out);
  }
  if (lines) line(depth);
  out += value.is_map() ? '}' : ']';
}

}  // namespace

std::string double_text(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  const bool fixed = value == 0 || (std::abs(value) >= 1e-4 && std::abs(value) < 1e15);
  char buffer[32];
  const auto format = fixed ? std::chars_format::fixed : std::chars_format::scientific;
  const auto result = std::to_chars(buffer, buffer + sizeof buffer, value, format);
  std::string out(buffer, result.ptr);
  if (fixed) return out.find('.') == std::string::npos ? out + ".0" : out;
  const size_t digits = out.find('e') + 2;  // behind the sign: "1e-08" becomes "1e-8"
  if (out[digits] == '0') out.erase(digits, 1);
  if (out[digits - 1] == '+') out.erase(digits - 1, 1);
  return out;
}

std::string yaml_scalar(const Value& value) { return scalar_text(value, false); }

std::string json_string(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      default:
        out += is_control(c) ? format("\\u{:04x}", static_cast<unsigned char>(c)) : std::string(1, c);
    }
  }
  return out + "\"";
}

std::string dump_yaml(const Value& value) {
  std::string out;
  for (const Dumper::Line& line : Dumper(false).lines(value)) out += line.text + "\n";
  return out;
}

std::string dump_with_origins(const Value& value) {
  const auto lines = Dumper(true).lines(value);
  size_t width = 0;
  for (const Dumper::Line& line : lines) {
    if (line.value && line.text.size() <= 72) width = std::max(width, line.text.size());
  }
  std::string out;
  for (const Dumper::Line& line : lines) {
    out += line.value ? format("{:{}}  # {}\n", line.text, width, origin_text(*line.value)) : line.text + "\n";
  }
  return out;
}

std::string to_json(const Value& value, int indent) {
  std::string out;
  write_json(value, indent, 0, out);
  return out;
}

}  // namespace rstorch::config
