#include "config/describe.h"

#include <algorithm>

#include "base/format.h"
#include "config/dump.h"

namespace rstorch::config {
namespace {

constexpr size_t max_nesting = 6;  // of help rows

std::string plural(const Type& type) {
  switch (type.kind) {
    case Type::Kind::boolean:
      return "booleans";
    case Type::Kind::integer:
      return "integers";
    case Type::Kind::number:
      return "numbers";
    case Type::Kind::string:
      return "texts";
    case Type::Kind::structure:
    case Type::Kind::map:
      return "maps";
    case Type::Kind::any:
      return "values";
    default:
      return type.text();
  }
}

// The struct whose fields stand below this type, if any, and how the path goes on: "", "[]" or ".*".
const StructInfo* inner_struct(const Type& type, std::string& path) {
  if (type.kind == Type::Kind::structure) return &type.fields();
  if (type.element.empty()) return nullptr;
  path += type.kind == Type::Kind::map ? ".*" : "[]";
  return inner_struct(type.element[0], path);
}

struct Row {
  std::string key, type, fallback, range, help;
};

void add_rows(const StructInfo& info, const std::string& prefix, size_t depth, std::vector<Row>& rows) {
  for (const FieldInfo& field : info.fields) {
    std::string path = prefix + field.name;
    const bool plain_struct = field.type.kind == Type::Kind::structure;
    if (!plain_struct || field.type.nullable) {
      rows.push_back({path, field.type.text(), field.default_text(), field.range_text(), field.help});
    }
    const StructInfo* inner = inner_struct(field.type, path);
    if (inner && depth < max_nesting) add_rows(*inner, path + ".", depth + 1, rows);
  }
}

std::vector<std::string> wrapped(const std::string& text, size_t width);

// For tables that are too wide: a line for the key, and its help below.
std::string help_paragraphs(const std::vector<Row>& rows, size_t key_width, size_t width) {
  std::string out;
  for (const Row& row : rows) {
    out += format("{}{:{}}  {}", out.empty() ? "" : "\n", row.key, key_width, row.type);
    if (!row.range.empty()) out += (row.range.starts_with("in ") ? " " : ", ") + row.range;
    if (row.fallback != "none") out += row.fallback == "required" ? "; required" : "; default " + row.fallback;
    for (const std::string& line : wrapped(row.help, width - 4)) out += "\n    " + line;
  }
  return out;
}

// Words of a text put into lines of at most `width`.
std::vector<std::string> wrapped(const std::string& text, size_t width) {
  std::vector<std::string> lines(1);
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find(' ', begin), text.size());
    std::string& line = lines.back();
    if (!line.empty() && line.size() + 1 + (end - begin) > width) {
      lines.push_back(text.substr(begin, end - begin));
    } else {
      line += (line.empty() ? "" : " ") + text.substr(begin, end - begin);
    }
    begin = end + 1;
  }
  return lines;
}

}  // namespace

std::string Type::text() const {
  std::string out;
  switch (kind) {
    case Kind::boolean:
      out = "boolean";
      break;
    case Kind::integer:
      out = "integer";
      break;
    case Kind::number:
      out = "number";
      break;
    case Kind::string:
      out = "text";
      break;
    case Kind::choice:
      out = join(choices, " | ");
      break;
    case Kind::duration:
      out = "amount";
      break;
    case Kind::list:
      out = "list of " + plural(element[0]);
      break;
    case Kind::map:
      out = "map of " + plural(element[0]);
      break;
    case Kind::structure:
      out = "map";
      break;
    case Kind::any:
      out = "value";
      break;
    case Kind::tuple:
      out = format("[{}]", join(std::vector<std::string>(length, element[0].text()), ", "));
      if (length > 4) out = format("list of {} {}", length, plural(element[0]));
      if (broadcasts) out = element[0].text() + " or " + out;
      break;
  }
  return nullable ? out + " or null" : out;
}

std::string Type::wanted() const {
  switch (kind) {
    case Kind::boolean:
      return "true or false";
    case Kind::integer:
      return "a whole number";
    case Kind::number:
      return "a number";
    case Kind::string:
      return "text";
    case Kind::choice:
      return format("one of {}", join(choices, ", "));
    case Kind::duration:
      return "an amount with a unit";
    case Kind::list:
      return "a list of " + plural(element[0]);
    case Kind::map:
      return "a map of " + plural(element[0]);
    case Kind::structure:
      return "a map of keys and values";
    case Kind::any:
      return "a value";
    case Kind::tuple:
      return format("{}a list of {} {}", broadcasts ? "an integer or " : "", length, plural(element[0]));
  }
  return {};
}

std::string FieldInfo::default_text() const {
  if (required) return "required";
  if (fallback.is_null()) return "none";
  return fallback.is_scalar() ? yaml_scalar(fallback) : fallback.text(40);
}

std::string FieldInfo::range_text() const {
  std::string out;
  for (const Check& check : checks) {
    const std::string text = check.text();
    if (text.empty()) continue;
    out += (out.empty() ? "" : ", ") + std::string(check.per_element ? "each " : "") + text;
  }
  return out;
}

const FieldInfo* StructInfo::find(std::string_view path) const {
  const size_t end = path.find_first_of(".[");
  const std::string_view name = path.substr(0, end);
  const auto it = std::find_if(fields.begin(), fields.end(), [&](const FieldInfo& f) { return f.name == name; });
  if (it == fields.end()) return nullptr;
  if (end == std::string_view::npos) return &*it;
  std::string_view rest = path.substr(end);
  std::string steps;
  const StructInfo* inner = inner_struct(it->type, steps);
  while (rest.starts_with('[')) rest.remove_prefix(std::min(rest.find(']'), rest.size() - 1) + 1);
  if (steps.starts_with(".*") && rest.starts_with('.')) {  // the key of a map is free
    rest.remove_prefix(1);
    rest.remove_prefix(std::min(rest.find('.'), rest.size()));
  }
  if (rest.empty()) return &*it;
  return inner ? inner->find(rest.substr(1)) : nullptr;
}

std::string help_table(const StructInfo& info, size_t width) {
  std::vector<Row> rows = {{"key", "type", "default", "range", "help"}};
  add_rows(info, "", 0, rows);
  if (rows.size() == 1) return "(no keys)";
  constexpr size_t kLeastHelp = 24;
  size_t key = 0, type = 0, fallback = 0, range = 0;
  const bool ranges = std::any_of(rows.begin() + 1, rows.end(), [](const Row& row) { return !row.range.empty(); });
  for (const Row& row : rows) {
    key = std::max(key, row.key.size());
    type = std::max(type, row.type.size());
    fallback = std::max(fallback, row.fallback.size());
    range = ranges ? std::max(range, row.range.size()) : 0;
  }
  const size_t left = key + type + fallback + 6 + (ranges ? range + 2 : 0);
  if (left + kLeastHelp > width) return help_paragraphs({rows.begin() + 1, rows.end()}, key, width);
  const size_t right = width - left;
  std::string out;
  for (const Row& row : rows) {
    if (!out.empty()) out += '\n';
    std::string line = format("{:{}}  {:{}}  {:{}}  ", row.key, key, row.type, type, row.fallback, fallback);
    if (ranges) line += format("{:{}}  ", row.range, range);
    const auto help = wrapped(row.help, right);
    out += line + help[0];
    for (size_t i = 1; i < help.size(); ++i) out += "\n" + std::string(left, ' ') + help[i];
  }
  return out;
}

std::string help_text(const FieldInfo& field, std::string_view path, size_t width) {
  std::string out =
      format("{}\n    {}\n    type     {}\n    default  {}", path, field.help, field.type.text(), field.default_text());
  if (const std::string range = field.range_text(); !range.empty()) out += format("\n    range    {}", range);
  std::string steps;
  if (const StructInfo* inner = inner_struct(field.type, steps)) {
    out += "\n\n";
    for (const char c : help_table(*inner, width - 4)) {
      if (out.back() == '\n') out += "    ";
      out += c;
    }
  }
  return out;
}

}  // namespace rstorch::config
