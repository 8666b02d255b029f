// What a config struct looks like, as data: help text, JSON schema and `config explain` are printed from it.
//
// `describe<Config>()` (fields.h) makes it, once per struct, from the struct's own `describe`.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "config/check.h"
#include "config/value.h"

namespace rstorch::config {

struct StructInfo;

struct Type {
  enum class Kind { boolean, integer, number, string, choice, duration, list, tuple, map, structure, any };
  Kind kind = Kind::any;
  bool nullable = false;                  // std::optional
  bool broadcasts = false;                // a single element stands for all of a tuple
  size_t length = 0;                      // of a tuple
  std::vector<std::string> choices = {};  // of an enum
  std::vector<Type> element = {};         // one, for list, tuple and map
  const StructInfo& (*fields)() = nullptr;

  std::string text() const;    // "number", "list of integers", "[number, number]", "min | max"
  std::string wanted() const;  // for sentences: "a number", "a list of integers", "one of min, max"
};

struct FieldInfo {
  std::string name;
  std::string help;
  Type type;
  Value fallback;  // the default; null when required
  bool required = false;
  std::vector<Check> checks;

  std::string default_text() const;  // "0.001", "required", "none"
  std::string range_text() const;    // "> 0", "each 0 to 1"
};

struct StructInfo {
  std::vector<FieldInfo> fields;
  // "inner.x"; list and map elements are stepped through: "groups.lr". nullptr when there is none.
  const FieldInfo* find(std::string_view path) const;
};

// An aligned table: key, type, default, range, help; where it would be wider, a paragraph for each key. Nested structs
// follow as "inner.x". No newline at the end.
inline constexpr size_t kHelpWidth = 100;
std::string help_table(const StructInfo& info, size_t width = kHelpWidth);
// One field in full, for `config explain`.
std::string help_text(const FieldInfo& field, std::string_view path, size_t width = kHelpWidth);

// JSON schema (draft 2020-12) as a value; print it with to_json. The document form adds `$schema` and `title`.
Value schema(const StructInfo& info);
Value schema(const Type& type, const std::vector<Check>& checks = {});
Value schema_document(const StructInfo& info, std::string_view title);

}  // namespace rstorch::config
