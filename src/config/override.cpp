// `optimizer.lr=3e-4`, `model.layers[1].out_features=64`, `~trainer.ema`.
#include <algorithm>
#include <charconv>

#include "config/load.h"
#include "config/suggest.h"
#include "config/text.h"

namespace rstorch::config {
namespace {

struct Step {
  bool is_index = false;
  std::string key;
  size_t index = 0;
  Span span;
};

bool is_capital(const std::string& text) { return !text.empty() && text[0] >= 'A' && text[0] <= 'Z'; }

class Override {
 public:
  Override(const std::string& argument, int number, Report& report, const LoadOptions& options)
      : source_(std::make_shared<const Source>(Origin::argument, format("argument {}", number), argument)),
        text_(source_->text()),
        report_(report),
        options_(options) {}

  void apply(Value& root) {
    const bool removes = text_.starts_with('~');
    if (!split_path(removes ? 1 : 0)) return;
    if (removes != (value_at_ == std::string::npos)) {
      removes ? fail(value_at_ - 1, text_.size(), "`~key` removes a key and takes no value", "leave out the `=...`")
              : fail(0, text_.size(), "an override is `key=value` or `~key`", format("write `{}=VALUE`", text_));
      return;
    }
    if (removes) return remove(root);
    Value value = parse_value();
    if (value.is_broken()) return;
    set(root, std::move(value));
  }

 private:
  Span span(size_t begin, size_t end) const {
    return {source_, static_cast<uint32_t>(begin), static_cast<uint32_t>(end - begin)};
  }
  void fail(size_t begin, size_t end, const std::string& message, const std::string& help) {
    report_.error(Code::override_path, message).at(span(begin, end)).help(help);
  }

  bool split_path(size_t at);
  bool split_key(size_t& at);
  bool split_index(size_t& at);
  Value parse_value();

  bool takes_dotted_keys(const Value& map) const {
    return std::find(options_.dotted.begin(), options_.dotted.end(), map.path()) != options_.dotted.end();
  }
  size_t join_keys(const Value& map, size_t first, std::string& key) const;
  Value* item_at(Value& list, const Step& step);
  bool open_map(Value& value, const Step& step);
  Value* descend(Value* value, const std::string& key, bool in_list);
  void set(Value& root, Value value);
  void remove(Value& root);

  std::shared_ptr<const Source> source_;
  std::string_view text_;
  Report& report_;
  const LoadOptions& options_;
  std::vector<Step> steps_;
  size_t value_at_ = std::string::npos;  // behind the `=`
};

bool Override::split_key(size_t& at) {
  const size_t begin = at;
  std::string key;
  if (at < text_.size() && text_[at] == '"') {
    const size_t end = text_.find('"', at + 1);
    if (end == std::string_view::npos) {
      fail(at, at + 1, "this quote is never closed", "write `expect.\"val.accuracy\"=...`");
      return false;
    }
    key = text_.substr(at + 1, end - at - 1);
    at = end + 1;
  } else {
    at = std::min(text_.find_first_of(".[=", at), text_.size());
    key = text_.substr(begin, at - begin);
  }
  if (key.empty()) {
    fail(begin, std::min(begin + 1, text_.size()), "a key is missing here", "write it as `optimizer.lr=3e-4`");
    return false;
  }
  steps_.push_back({false, std::move(key), 0, span(begin, at)});
  return true;
}

bool Override::split_index(size_t& at) {
  const size_t close = text_.find(']', at);
  size_t index = 0;
  const char* begin = text_.data() + at + 1;
  const char* end = text_.data() + std::min(close, text_.size());
  const auto [stop, error] = std::from_chars(begin, end, index);
  if (close == std::string_view::npos || stop != end || error != std::errc() || begin == end) {
    fail(at, std::min(close, text_.size() - 1) + 1, "`[...]` wants the number of an entry, from 0",
         "write it as `model.layers[1].out_features=64`");
    return false;
  }
  steps_.push_back({true, {}, index, span(at, close + 1)});
  at = close + 1;
  return true;
}

bool Override::split_path(size_t at) {
  if (!split_key(at)) return false;
  while (at < text_.size() && text_[at] != '=') {
    if (text_[at] == '[') {
      if (!split_index(at)) return false;
    } else if (text_[at] == '.') {
      if (!split_key(++at)) return false;
    } else {
      fail(at, at + 1, "a `.`, `[` or `=` was expected here", "write it as `model.layers[1].out_features=64`");
      return false;
    }
  }
  if (at < text_.size()) value_at_ = at + 1;
  return true;
}

Value Override::parse_value() {
  const size_t begin = std::min(text_.find_first_not_of(' ', value_at_), text_.size());
  const size_t last = text_.find_last_not_of(' ');
  const size_t end = std::max(begin, last == std::string_view::npos ? 0 : last + 1);
  const std::string_view text = text_.substr(begin, end - begin);
  if (!text.empty() && std::string_view("[{\"'").find(text[0]) != std::string_view::npos) {
    return parse_yaml(source_, begin, report_);
  }
  const Span where = begin < end ? span(begin, end) : span(0, text_.size());
  Value value = resolve_plain(text, where, report_);
  value.set_span(where, true);
  return value;
}

// How many key steps from `first` on make one key of this map: `expect.val.accuracy` has the key "val.accuracy".
size_t Override::join_keys(const Value& map, size_t first, std::string& key) const {
  size_t last = first;
  while (last < steps_.size() && !steps_[last].is_index) ++last;
  for (size_t count = last - first; count > 0; --count) {
    key = steps_[first].key;
    for (size_t i = 1; i < count; ++i) key += "." + steps_[first + i].key;
    if (map.has(key) || (takes_dotted_keys(map) && first + count == steps_.size())) return count;
  }
  key = steps_[first].key;
  return 1;
}

// The part of a map that an override may step through without naming it: the only key of a list entry
// (`- fc: {...}`), or the one key that is a kind (`{Linear: {...}, from: x}`).
Value* implied_child(Value& map, bool in_list) {
  if (in_list && map.size() == 1) return &map.items()[0];
  Value* found = nullptr;
  for (Value& item : map.items()) {
    if (!is_capital(item.key())) continue;
    if (found) return nullptr;
    found = &item;
  }
  return found;
}

// Through `{fc: {Linear: {...}}}` to the map that has the key, or would take it.
Value* Override::descend(Value* value, const std::string& key, bool in_list) {
  while (value->is_map() && !value->has(key)) {
    Value* child = implied_child(*value, in_list);
    if (!child) break;
    const bool bare_kind = child->is_null() && is_capital(child->key());           // `- ReLU:`
    const bool named_kind = child->is_string() && is_capital(child->as_string());  // `- act: ReLU`
    if (bare_kind || named_kind) open_map(*child, {});
    if (!child->is_map()) break;
    value = child;
  }
  return value;
}

Value* Override::item_at(Value& list, const Step& step) {
  const std::string path = list.path().empty() ? "the config" : "`" + list.path() + "`";
  if (!list.is_list()) {
    report_.error(Code::override_path, format("{} is {}, not a list", path, list.kind_text()))
        .at(step.span)
        .note(list.span().known() ? "set at " + list.span().where() : "")
        .help(list.path().empty() ? "write `KEY=VALUE`"
                                  : format("write `{}{}=VALUE`", list.path(), list.is_map() ? ".KEY" : ""));
    return nullptr;
  }
  if (step.index >= list.size()) {
    report_.error(Code::override_path, format("{} has no entry {}", path, step.index))
        .at(step.span)
        .label(list.empty() ? "it is empty" : format("it has 0 to {}", list.size() - 1))
        .note(list.span().known() ? "the list is at " + list.span().where() : "");
    return nullptr;
  }
  return &list.items()[step.index];
}

// Makes room for a key: nothing becomes a map, `AdamW` becomes `{AdamW: {}}`.
bool Override::open_map(Value& value, const Step& step) {
  if (value.is_map()) return true;
  Value map = Value::map();
  map.set_span(value.span());
  if (value.is_string()) {
    Value kind = Value::map();
    kind.set_span(value.span());
    kind.set_key(value.as_string(), value.span());
    map.items().push_back(std::move(kind));
  } else if (!value.is_null()) {
    report_.error(Code::override_path, format("`{}` is {} and has no keys", value.path(), value.kind_text()))
        .at(step.span)
        .note(value.span().known() ? format("it is `{}`, set at {}", value.text(), value.span().where()) : "")
        .help(format("write `{}=VALUE`", value.path()));
    return false;
  }
  map.set_key(value.key(), value.key_span());
  map.set_path(value.path());
  value = std::move(map);
  return true;
}

void Override::set(Value& root, Value value) {
  Value* here = &root;
  bool in_list = false;
  for (size_t i = 0; i < steps_.size();) {
    const Step& step = steps_[i];
    if (step.is_index) {
      here = item_at(*here, step);
      if (!here) return;
      in_list = true;
      ++i;
      if (i == steps_.size()) {
        value.set_path(here->path());
        *here = std::move(value);
      }
      continue;
    }
    if (!open_map(*here, step)) return;
    here = descend(here, step.key, in_list);
    in_list = false;
    std::string key;
    const size_t count = join_keys(*here, i, key);
    i += count;
    const bool last = i == steps_.size();
    if (!last && here->has(key)) {
      here = here->find(key);
      continue;
    }
    Value fresh = last ? std::move(value) : Value();
    if (!last) fresh.set_span(step.span);
    fresh.set_key(key, span(step.span.begin, steps_[i - 1].span.begin + steps_[i - 1].span.length));
    here = &here->set(key, std::move(fresh));
  }
}

void Override::remove(Value& root) {
  Value* here = &root;
  bool in_list = false;
  for (size_t i = 0; i < steps_.size();) {
    const Step& step = steps_[i];
    if (step.is_index) {
      Value* item = item_at(*here, step);
      if (!item) return;
      if (++i == steps_.size()) {
        Value& list = *here;
        list.items().erase(list.items().begin() + static_cast<std::ptrdiff_t>(step.index));
        return list.set_path(list.path());
      }
      here = item;
      in_list = true;
      continue;
    }
    here = descend(here, step.key, in_list);
    in_list = false;
    std::string key;
    i += join_keys(*here, i, key);
    if (!here->has(key)) {
      const std::string path = here->path().empty() ? "the config" : "`" + here->path() + "`";
      report_.error(Code::override_path, format("{} has no key `{}` to remove", path, key))
          .at(step.span)
          .label(suggest_key(key, here->keys()).label)
          .help(here->empty() ? "" : format("its keys are: {}", join(here->keys(), ", ")));
      return;
    }
    if (i == steps_.size()) {
      here->erase(key);
      return;
    }
    here = here->find(key);
  }
}

}  // namespace

void apply_override(Value& root, const std::string& argument, int number, Report& report, const LoadOptions& options) {
  const auto checked = checked_source(argument, format("argument {}", number), Origin::argument, report);
  if (checked) Override(checked->text(), number, report, options).apply(root);
}

}  // namespace rstorch::config
