#include "config/value.h"

#include <algorithm>

#include "base/error.h"
#include "config/dump.h"

namespace rstorch::config {
namespace {

[[noreturn]] void wrong_kind(const Value& value, const char* wanted) {
  throw InternalError(
      format("config value `{}` at {} is {}, not {}", value.path(), value.span().where(), value.kind_text(), wanted));
}

bool is_simple_key(std::string_view key) {
  return !key.empty() && key.find_first_of(".[]=\" ") == std::string_view::npos;
}

std::string brief_text(const Value& value);

std::string children_text(const Value& value) {
  std::string out;
  for (const Value& item : value.items()) {
    if (!out.empty()) out += ", ";
    if (value.is_map()) out += item.key() + ": ";
    out += brief_text(item);
    if (out.size() > 200) break;  // text() cuts it anyway
  }
  return out;
}

std::string brief_text(const Value& value) {
  switch (value.kind()) {
    case Value::Kind::null:
      return "null";
    case Value::Kind::boolean:
      return value.as_bool() ? "true" : "false";
    case Value::Kind::integer:
      return std::to_string(value.as_int());
    case Value::Kind::real:
      return double_text(value.as_double());
    case Value::Kind::string:
      return value.as_string();
    case Value::Kind::list:
      return "[" + children_text(value) + "]";
    case Value::Kind::map:
      return "{" + children_text(value) + "}";
  }
  return {};
}

}  // namespace

Value Value::list(std::vector<Value> items) {
  Value out;
  out.kind_ = Kind::list;
  for (Value& item : items) out.append(std::move(item));
  return out;
}

Value Value::map(std::initializer_list<std::pair<std::string_view, Value>> entries) {
  Value out;
  out.kind_ = Kind::map;
  for (const auto& [key, value] : entries) out.set(key, value);
  return out;
}

Value Value::broken(Span where) {
  Value out;
  out.broken_ = true;
  out.span_ = std::move(where);
  return out;
}

bool Value::as_bool() const {
  if (!is_bool()) wrong_kind(*this, "a boolean");
  return std::get<bool>(scalar_);
}

int64_t Value::as_int() const {
  if (!is_int()) wrong_kind(*this, "a whole number");
  return std::get<int64_t>(scalar_);
}

double Value::as_double() const {
  if (is_int()) return static_cast<double>(as_int());
  if (!is_real()) wrong_kind(*this, "a number");
  return std::get<double>(scalar_);
}

const std::string& Value::as_string() const {
  if (!is_string()) wrong_kind(*this, "text");
  return std::get<std::string>(scalar_);
}

const Value* Value::find(std::string_view key) const {
  if (!is_map()) return nullptr;
  const auto it = std::find_if(items_.begin(), items_.end(), [&](const Value& item) { return item.key_ == key; });
  return it == items_.end() ? nullptr : &*it;
}

Value* Value::find(std::string_view key) { return const_cast<Value*>(std::as_const(*this).find(key)); }

const Value& Value::at(std::string_view key) const {
  const Value* found = find(key);
  if (!found) throw InternalError(format("config value `{}` has no key `{}`", path_, key));
  return *found;
}

std::vector<std::string_view> Value::keys() const {
  std::vector<std::string_view> out;
  if (!is_map()) return out;
  for (const Value& item : items_) out.push_back(item.key_);
  return out;
}

Value& Value::set(std::string_view key, Value value) {
  if (!is_map()) wrong_kind(*this, "a map");
  if (value.key_ != key) value.set_key(std::string(key), {});
  value.set_path(join_path(path_, key));
  if (Value* old = find(key)) return *old = std::move(value);
  return items_.emplace_back(std::move(value));
}

bool Value::erase(std::string_view key) {
  const auto erased = std::erase_if(items_, [&](const Value& item) { return is_map() && item.key_ == key; });
  return erased > 0;
}

Value Value::without(std::initializer_list<std::string_view> keys) const {
  Value out = *this;
  for (const std::string_view key : keys) out.erase(key);
  return out;
}

Value& Value::append(Value item) {
  if (!is_list()) wrong_kind(*this, "a list");
  item.set_key({}, {});
  item.set_path(join_path(path_, items_.size()));
  return items_.emplace_back(std::move(item));
}

Span Value::entry_span() const {
  if (!key_span_.known() || key_span_.source != span_.source || span_.begin < key_span_.begin) return span_;
  const Source& source = *span_.source;
  if (source.line_of(key_span_.begin) != source.line_of(span_.begin)) return key_span_;
  return {span_.source, key_span_.begin, span_.begin + span_.length - key_span_.begin};
}

void Value::set_key(std::string key, Span span) {
  key_ = std::move(key);
  key_span_ = std::move(span);
}

void Value::set_span(Span span, bool plain) {
  span_ = std::move(span);
  plain_ = plain;
}

void Value::set_path(std::string path) {
  path_ = std::move(path);
  for (size_t i = 0; i < items_.size(); ++i) {
    items_[i].set_path(is_map() ? join_path(path_, items_[i].key_) : join_path(path_, i));
  }
}

std::string Value::kind_text() const {
  switch (kind_) {
    case Kind::null:
      return "nothing";
    case Kind::boolean:
      return "a boolean";
    case Kind::integer:
      return "a whole number";
    case Kind::real:
      return "a number";
    case Kind::string:
      return "text";
    case Kind::list:
      return "a list";
    case Kind::map:
      return "a map";
  }
  return {};
}

std::string Value::text(size_t limit) const {
  std::string out = brief_text(*this);
  if (out.size() <= limit) return out;
  size_t end = limit;
  while (end > 0 && (static_cast<unsigned char>(out[end]) & 0xC0) == 0x80) --end;  // not inside a character
  return out.substr(0, end) + "...";
}

bool operator==(const Value& a, const Value& b) {
  if (a.kind_ != b.kind_ || a.broken_ != b.broken_ || a.scalar_ != b.scalar_) return false;
  if (a.items_.size() != b.items_.size()) return false;
  if (!a.is_map()) return a.items_ == b.items_;
  return std::all_of(a.items_.begin(), a.items_.end(), [&](const Value& item) {
    const Value* other = b.find(item.key_);
    return other && item == *other;
  });
}

std::string join_path(std::string_view parent, std::string_view key) {
  std::string out(parent);
  if (!out.empty()) out += '.';
  if (is_simple_key(key)) return out.append(key);
  return out.append("\"").append(key).append("\"");
}

std::string join_path(std::string_view parent, size_t index) { return format("{}[{}]", parent, index); }

}  // namespace rstorch::config
