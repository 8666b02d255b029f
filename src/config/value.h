// One node of a config: null, boolean, integer, number, text, list or map, with where it was written.
//
// Values are plain values: copying copies the subtree. Maps keep the order of the file and have no duplicate keys.
// The children of a map know their key, so a loop over a map is `for (const Value& v : map.items()) use(v.key(), v)`.
// A *broken* value stands for text that has been reported as an error; whoever meets one stays silent about it.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "config/source.h"

namespace rstorch::config {

class Value {
 public:
  enum class Kind { null, boolean, integer, real, string, list, map };

  Value() = default;  // null
  Value(bool value) : kind_(Kind::boolean), scalar_(value) {}
  Value(int value) : Value(int64_t{value}) {}
  Value(int64_t value) : kind_(Kind::integer), scalar_(value) {}
  Value(double value) : kind_(Kind::real), scalar_(value) {}
  Value(std::string value) : kind_(Kind::string), scalar_(std::move(value)) {}
  Value(std::string_view value) : Value(std::string(value)) {}
  Value(const char* value) : Value(std::string(value)) {}
  static Value list(std::vector<Value> items = {});
  static Value map(std::initializer_list<std::pair<std::string_view, Value>> entries = {});
  static Value broken(Span where = {});

  Kind kind() const { return kind_; }
  bool is_null() const { return kind_ == Kind::null && !broken_; }
  bool is_bool() const { return kind_ == Kind::boolean; }
  bool is_int() const { return kind_ == Kind::integer; }
  bool is_real() const { return kind_ == Kind::real; }
  bool is_number() const { return is_int() || is_real(); }
  bool is_string() const { return kind_ == Kind::string; }
  bool is_list() const { return kind_ == Kind::list; }
  bool is_map() const { return kind_ == Kind::map; }
  bool is_scalar() const { return !is_list() && !is_map(); }
  bool is_broken() const { return broken_; }

  // Each throws InternalError on a value of another kind: check first, or read through config::read.
  bool as_bool() const;
  int64_t as_int() const;
  double as_double() const;  // integers too
  const std::string& as_string() const;

  // Lists and maps (empty for others).
  const std::vector<Value>& items() const& { return items_; }
  std::vector<Value>& items() & { return items_; }
  std::vector<Value> items() && { return std::move(items_); }  // so that a loop over a temporary is safe
  size_t size() const { return items_.size(); }
  bool empty() const { return items_.empty(); }
  const Value& operator[](size_t index) const { return items_.at(index); }

  // Maps.
  const Value* find(std::string_view key) const;  // nullptr: not there, or not a map
  Value* find(std::string_view key);
  bool has(std::string_view key) const { return find(key) != nullptr; }
  const Value& at(std::string_view key) const;  // InternalError when it is not there
  std::vector<std::string_view> keys() const;
  Value& set(std::string_view key, Value value);  // replaces in place or appends; the value's path becomes ours + key
  bool erase(std::string_view key);
  Value without(std::initializer_list<std::string_view> keys) const;
  // `{Name: ...}`: the only child of a one-key map, else nullptr.
  const Value* only() const { return is_map() && size() == 1 ? &items_[0] : nullptr; }

  Value& append(Value item);  // lists

  // Where it stands and where it was written.
  const std::string& key() const { return key_; }     // in its parent map; empty in a list
  const std::string& path() const { return path_; }   // "model.layers[1].Linear.out_features"; empty at the top
  const Span& span() const { return span_; }          // of the value
  const Span& key_span() const { return key_span_; }  // of the key, when it has one
  Span entry_span() const;                            // from the key to the end of the value when on one line
  Origin origin() const { return span_.origin(); }
  SourcePosition position() const { return span_.position(); }
  // Written without quotes, so that `yes` may have been meant as a boolean.
  bool is_plain() const { return plain_; }
  // How the value came to be there, when its text says something else: "`${vars.lr}` is set at a.yaml:3:7".
  const std::string& note() const { return note_; }

  void set_key(std::string key, Span span);
  void set_span(Span span, bool plain = false);
  void set_note(std::string note) { note_ = std::move(note); }
  void set_path(std::string path);  // and the paths of everything below
  void mark_flow(bool flow) { flow_ = flow; }
  bool is_flow() const { return flow_; }  // `[..]` or `{..}` rather than lines

  // "a number", "a list", "null": for sentences that say what was found.
  std::string kind_text() const;
  // A scalar as a user would write it: `0.001`, `true`, `abc`; lists and maps in flow style. Cut at `limit` characters.
  std::string text(size_t limit = 60) const;

  // Same kind and content; positions do not count.
  friend bool operator==(const Value& a, const Value& b);

 private:
  Kind kind_ = Kind::null;
  bool broken_ = false;
  bool plain_ = false;
  bool flow_ = false;
  std::variant<std::monostate, bool, int64_t, double, std::string> scalar_;
  std::vector<Value> items_;
  std::string key_;
  std::string path_;
  std::string note_;
  Span span_;
  Span key_span_;
};

// "model" + "layers" = "model.layers"; keys that hold dots or brackets are quoted.
std::string join_path(std::string_view parent, std::string_view key);
std::string join_path(std::string_view parent, size_t index);

}  // namespace rstorch::config
