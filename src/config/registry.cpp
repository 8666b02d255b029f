#include "config/registry.h"

#include <algorithm>

#include "config/suggest.h"

namespace rstorch::config {
namespace {

std::string_view article(std::string_view noun) {
  return !noun.empty() && std::string_view("aeiou").find(noun[0]) != std::string_view::npos ? "an" : "a";
}

void no_kind(const Value& value, std::string_view noun, Report& report) {
  const bool keys = value.is_map() && !value.empty();
  const std::string wanted = format("{} wants {} {}", subject(value), article(noun), noun);
  Diagnostic& d =
      report.error(Code::wrong_type, keys                                ? wanted + ", and this has no `type`"
                                     : value.is_null() || value.is_map() ? wanted + ", but there is nothing"
                                                                         : wanted + ", not " + value.kind_text());
  d.at(value).help("write `Name`, `Name: {key: value}` or `{type: Name, key: value}`");
}

std::optional<Chosen> typed(const Value& value, const Value& type, std::string_view noun, Report& report) {
  if (type.is_broken()) return std::nullopt;
  if (!type.is_string()) {
    report
        .error(Code::wrong_type,
               format("`{}` wants the name of {} {}, not {}", type.path(), article(noun), noun, type.kind_text()))
        .at(type);
    return std::nullopt;
  }
  return Chosen{type.as_string(), value.without({"type"}), &type, true};
}

// The only key that no one else reads.
const Value* only_kind(const Value& value, const ReadOptions& options) {
  const Value* found = nullptr;
  for (const Value& item : value.items()) {
    if (std::find(options.also.begin(), options.also.end(), item.key()) != options.also.end()) continue;
    if (found) return nullptr;
    found = &item;
  }
  return found;
}

// `lr: 0.1`: a key of a kind that was not named, rather than a kind.
bool is_argument(const Value& only) {
  const bool is_value = !only.is_broken() && !only.is_map() && !only.is_null();
  return is_value && only.key()[0] >= 'a' && only.key()[0] <= 'z';
}

std::optional<Chosen> named(const Value& body, Report& report) {
  if (body.is_broken()) return std::nullopt;
  if (body.is_map() || body.is_null()) return Chosen{body.key(), body, &body, false};
  report
      .error(Code::wrong_type, format("`{}` wants a map of keys and values, not {}", body.path(),
                                      body.is_scalar() ? body.text() : body.kind_text()))
      .at(body)
      .help(format("write `{}: {{key: value}}`; `rstorch list` shows the keys", body.key()));
  return std::nullopt;
}

}  // namespace

const Kind* KindTable::find(std::string_view name) const {
  const auto it = std::find_if(kinds.begin(), kinds.end(), [&](const Kind* kind) { return kind->name == name; });
  return it == kinds.end() ? nullptr : *it;
}

std::string help_list(const KindTable& table) {
  size_t width = 0;
  for (const Kind* kind : table.kinds) width = std::max(width, kind->name.size());
  std::string out;
  for (const Kind* kind : table.kinds) {
    out += format("{}{:{}}  {}", out.empty() ? "" : "\n", kind->name, width, kind->help);
  }
  return out;
}

std::string help_text(std::string_view noun, const Kind& kind, size_t width) {
  return format("{} ({})\n{}\n\n{}", kind.name, noun, kind.help, help_table(kind.fields(), width));
}

std::optional<Chosen> choose(const Value& value, std::string_view noun, Report& report, const ReadOptions& options) {
  if (value.is_broken()) return std::nullopt;
  if (value.is_string()) {
    Value body;
    body.set_key(value.as_string(), value.span());
    body.set_span(value.span());
    body.set_path(value.path());
    return Chosen{value.as_string(), std::move(body), &value, false};
  }
  if (value.is_map()) {
    if (const Value* type = value.find("type")) return typed(value, *type, noun, report);
    const Value* only = only_kind(value, options);
    if (only && !is_argument(*only)) return named(*only, report);
  }
  no_kind(value, noun, report);
  return std::nullopt;
}

namespace detail {

const StructInfo& no_fields() {
  static const StructInfo none;
  return none;
}

Value read_no_fields(const Value& body, Report& report, const ReadOptions& options) {
  for (const Value& item : body.items()) {
    if (std::find(options.also.begin(), options.also.end(), item.key()) != options.also.end()) continue;
    report.error(Code::unknown_key, format("unknown key `{}` in `{}`", item.key(), body.path()))
        .key(item)
        .label("it takes no keys");
  }
  return Value::map();
}

void unknown_kind(const Chosen& chosen, std::string_view noun, std::span<const std::string_view> names,
                  Report& report) {
  const Suggestion suggestion = suggest_kind(noun, chosen.name, names);
  Diagnostic& d = report.error(Code::unknown_kind, format("there is no {} `{}`", noun, chosen.name));
  if (chosen.where->is_string() && chosen.where->as_string() == chosen.name) {
    d.at(*chosen.where);
  } else {
    d.key(*chosen.where);
  }
  d.label(suggestion.label).help(suggestion.help);
}

}  // namespace detail
}  // namespace rstorch::config
