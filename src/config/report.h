// All errors of a config, collected, then shown at once as rustc shows them.
//
//   report.error(Code::shapes, "shapes do not fit").entry(value).label("256, but the input here has 512 features")
//       .line("chain", "[3, 32, 32] -> ...").help("leave out in_features (it is inferred) or write 512");
//
// Not for use from several threads at once.
#pragma once

#include <deque>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "config/value.h"

namespace rstorch::config {

// The numbers are stable: scripts and documentation may rely on them.
enum class Code : int {
  syntax = 301,
  unknown_key = 302,
  wrong_type = 303,
  out_of_range = 304,
  missing_key = 305,
  unknown_kind = 306,
  shapes = 307,
  duplicate_key = 308,
  file = 309,
  reference = 310,
  override_path = 311,
  ambiguous_scalar = 312,
  limit = 313,
  encoding = 314,
  unsupported = 315,
  conflict = 316,
  pattern = 317,
  data_mismatch = 318,
  resource = 319,
};

struct CodeInfo {
  Code code;
  std::string_view title;    // "shapes do not fit"
  std::string_view meaning;  // one or two sentences
};

inline constexpr CodeInfo codes[] = {
    {Code::syntax, "not valid YAML", "The text breaks a rule of YAML: brackets, quotes, indentation, tabs."},
    {Code::unknown_key, "unknown key", "No such key here. Keys are spelled as in PyTorch; see the suggestion."},
    {Code::wrong_type, "wrong type", "The value is of another type than the key wants."},
    {Code::out_of_range, "out of range", "The type is right, the value is not allowed."},
    {Code::missing_key, "missing key", "A key without a default was not given."},
    {Code::unknown_kind, "unknown kind", "No layer, optimizer, dataset, ... of that name; `rstorch list` shows all."},
    {Code::shapes, "shapes do not fit",
     "A layer cannot take what the layers before it give; the chain of shapes is shown."},
    {Code::duplicate_key, "duplicate key", "One map has the same key twice."},
    {Code::file, "file cannot be read",
     "The config, or a file that it extends, is missing, unreadable or extends itself."},
    {Code::reference, "unknown reference", "A `${...}`, an alias `*name` or the name of a tensor that is not defined."},
    {Code::override_path, "override does not fit", "A `key=value` or `~key` argument names a place that is not there."},
    {Code::ambiguous_scalar, "unclear value", "A number that programs read differently: 010, 0x10, 1_000, 1e999."},
    {Code::limit, "too large", "More than 64 levels, 1 MB, or 50000 values after aliases are followed."},
    {Code::encoding, "not UTF-8 text", "The file has bytes that are not UTF-8, or control characters."},
    {Code::unsupported, "not supported",
     "YAML that rstorch refuses: `<<`, tags, several documents, keys that are no text."},
    {Code::conflict, "keys contradict", "Two keys cannot be given together, or one needs another."},
    {Code::pattern, "pattern matches nothing", "A regular expression is malformed or matches no parameter or layer."},
    {Code::data_mismatch, "data does not fit", "The data has another shape, type or range than the config says."},
    {Code::resource, "not available", "A device, file or feature that the config asks for is not there."},
};

constexpr const CodeInfo& info(Code code) {
  for (const CodeInfo& entry : codes) {
    if (entry.code == code) return entry;
  }
  return codes[0];
}

// One error: a sentence, the text it is about with a caret, and lines that explain.
class Diagnostic {
 public:
  Diagnostic(Code code, std::string message) : code_(code), message_(std::move(message)) {}

  // What the caret marks: a value, its key, or both.
  Diagnostic& at(const Value& value);
  Diagnostic& key(const Value& value);
  Diagnostic& entry(const Value& value);
  Diagnostic& at(Span span);

  Diagnostic& label(std::string text);  // behind the carets: got, wanted
  Diagnostic& help(std::string text);   // how to mend it
  Diagnostic& note(std::string text);
  Diagnostic& line(std::string_view head, std::string text);  // "= head: text"

  Code code() const { return code_; }
  const std::string& message() const { return message_; }
  const std::string& label() const { return label_; }
  const Span& span() const { return span_; }
  const std::vector<std::pair<std::string, std::string>>& lines() const { return lines_; }
  std::string render() const;  // no newline at the end

 private:
  Code code_;
  std::string message_;
  std::string label_;
  Span span_;
  std::vector<std::pair<std::string, std::string>> lines_;
};

class Report {
 public:
  // The reference stays valid as long as the report.
  Diagnostic& error(Code code, std::string message) { return errors_.emplace_back(code, std::move(message)); }

  // For the errors from number `first` on that do not say how to mend them.
  void default_help(size_t first, const std::string& text);

  bool ok() const { return errors_.empty(); }
  size_t size() const { return errors_.size(); }
  const std::deque<Diagnostic>& errors() const { return errors_; }

  // By file, then line; arguments last. At most `limit` errors, then "... and N more".
  std::string render(size_t limit = 50) const;
  void throw_if_errors() const;  // ConfigReport

 private:
  std::deque<Diagnostic> errors_;
};

// All that is wrong with a config. report() is the whole rendering; what() its first error; exit code 3.
class ConfigReport : public ConfigError {
 public:
  ConfigReport(const std::string& first, int yy, std::string rendered, size_t count)
      : ConfigError(first, {}, yy), rendered_(std::move(rendered)), count_(count) {}
  std::string report() const override { return rendered_; }
  size_t count() const { return count_; }

 private:
  std::string rendered_;
  size_t count_;
};

// What a message is about: "`optimizer.lr`", or "the config".
std::string subject(const Value& value);

}  // namespace rstorch::config
