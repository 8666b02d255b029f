#include "config/fields.h"

#include <algorithm>
#include <cmath>

#include "config/load.h"
#include "config/suggest.h"

namespace rstorch::config {
namespace {

constexpr size_t max_unknown_keys = 40;  // of one map

// --- wrong types ---

std::string lower(std::string text) {
  for (char& c : text) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  return text;
}

// What a text was probably meant to be, when a boolean, number or null was wanted.
std::string text_fix(const Value& value, const Type& wanted) {
  const std::string& text = value.as_string();
  const std::string low = lower(text);
  const auto is_any = [&](std::initializer_list<const char*> words) {
    return std::any_of(words.begin(), words.end(), [&](const char* word) { return low == word; });
  };
  if (wanted.nullable && is_any({"none", "nil", "null"})) return "write `null`";
  if (wanted.kind == Type::Kind::boolean) {
    if (is_any({"yes", "on", "true", "y"})) return "write `true`; booleans are `true` and `false` only";
    if (is_any({"no", "off", "false", "n"})) return "write `false`; booleans are `true` and `false` only";
    return "booleans are `true` and `false`";
  }
  const Value bare = resolve_number(text);
  if (!value.is_plain() && bare.is_number()) return format("remove the quotes: {}", text);
  if (is_any({"inf", "infinity", "+inf"})) return "write a finite number";
  if (const size_t comma = text.find(',');
      comma != std::string::npos && text.find(',', comma + 1) == std::string::npos) {
    std::string dotted = text;
    dotted[comma] = '.';
    if (resolve_number(dotted).is_number()) return format("write {}: the decimal sign is a point", dotted);
  }
  if (text.find('_') != std::string::npos) {
    std::string digits = text;
    std::erase(digits, '_');
    if (resolve_number(digits).is_number()) return format("write {}, without `_`", digits);
  }
  return {};
}

std::string type_fix(const Value& value, const Type& wanted) {
  using Kind = Type::Kind;
  const bool scalar = value.is_scalar() && !value.is_null();
  if (wanted.kind == Kind::integer && value.is_real()) {
    const double x = value.as_double();
    if (x == std::floor(x) && std::abs(x) < 1e15) return format("write {}", static_cast<int64_t>(x));
    return "write a number without a fraction";
  }
  if (wanted.kind == Kind::string && scalar) return format("quote it: \"{}\"", value.text());
  if (wanted.kind == Kind::boolean && value.is_int()) {
    return format("write `{}`; booleans are `true` and `false` only", value.as_int() != 0);
  }
  if (wanted.kind == Kind::boolean || wanted.kind == Kind::integer || wanted.kind == Kind::number) {
    return value.is_string() ? text_fix(value, wanted) : "";
  }
  const bool list = wanted.kind == Kind::list || wanted.kind == Kind::tuple;
  const bool of_kinds = !wanted.element.empty() && wanted.element[0].kind == Kind::any;  // whose names are texts
  if (list && scalar && (value.is_string() || !of_kinds)) {
    const size_t length = wanted.kind == Kind::tuple ? std::min<size_t>(wanted.length, 4) : 1;
    return format("write [{}]", join(std::vector<std::string>(length, value.text()), ", "));
  }
  if (wanted.kind == Kind::structure && value.is_list()) return "remove the `- ` before the keys";
  return {};
}

// ", not the text `fast`": the end of a sentence that says what was wanted.
std::string but_got(const Value& value) {
  if (value.is_null()) return ", but there is nothing";
  if (value.is_string()) return format(", not the text `{}`", value.text());
  if (value.is_scalar()) return format(", not {}", value.text());
  return ", not " + value.kind_text();
}

void wrong_type(const Value& value, const Type& wanted, Context& context) {
  if (value.is_broken()) return;
  const std::string fix = type_fix(value, wanted);
  const bool remove = fix.empty() && value.is_null() && !value.key().empty();
  context.report.error(Code::wrong_type, format("{} wants {}{}", subject(value), wanted.wanted(), but_got(value)))
      .at(value)
      .help(remove ? format("give a value, or remove `{}`", value.key()) : fix);
}

// --- checks ---

std::optional<double> amount_of(const Value& value) {
  if (value.is_number()) return value.as_double();
  if (value.is_string()) {
    if (const auto duration = parse_duration(value.as_string())) return duration->amount;
  }
  return std::nullopt;
}

bool passes(const Check& check, const Value& value) {
  switch (check.rule) {
    case Check::Rule::range: {
      const auto x = amount_of(value);
      if (!x) return true;
      const bool low = check.low_open ? *x > check.low : *x >= check.low;
      const bool high = check.high_open ? *x < check.high : *x <= check.high;
      return low && high;
    }
    case Check::Rule::one_of:
      return std::find(check.choices.begin(), check.choices.end(), value.text()) != check.choices.end();
    case Check::Rule::non_empty:
      return value.is_string() ? !value.as_string().empty() : !value.empty();
    default:
      return true;
  }
}

void apply_check(const Check& check, const Value& value, Report& report) {
  if (value.is_null() || value.is_broken()) return;
  if (check.per_element && !value.is_scalar()) {
    Check inner = check;
    inner.per_element = false;
    for (const Value& item : value.items())
      apply_check(check.per_element && !item.is_scalar() ? check : inner, item, report);
    return;
  }
  if (passes(check, value)) return;
  if (check.rule == Check::Rule::non_empty) {
    report.error(Code::out_of_range, format("{} must not be empty", subject(value))).at(value);
    return;
  }
  const bool choice = check.rule == Check::Rule::one_of && check.choices.size() > 1;
  const std::string wanted = (choice ? "one of " : "") + check.text();
  Diagnostic& d =
      report.error(Code::out_of_range, format("{} must be {}, not {}", subject(value), wanted, value.text()));
  d.at(value);
  if (!choice || !value.is_string()) return;
  const std::vector<std::string_view> known(check.choices.begin(), check.choices.end());
  if (const auto near = nearest(value.as_string(), known)) d.label(format("did you mean `{}`?", *near));
}

const Check* find_rule(const std::vector<Check>& checks, Check::Rule rule) {
  const auto it = std::find_if(checks.begin(), checks.end(), [rule](const Check& c) { return c.rule == rule; });
  return it == checks.end() ? nullptr : &*it;
}

// The names that were suggested: they are not missing besides.
std::vector<std::string> report_unknown_keys(const Value& map, std::span<const std::string_view> known,
                                             Report& report) {
  std::vector<std::string> suggested;
  size_t count = 0;
  for (const Value& item : map.items()) {
    if (std::find(known.begin(), known.end(), item.key()) != known.end() || item.key().empty()) continue;
    if (++count > max_unknown_keys) break;
    Suggestion suggestion = suggest_key(item.key(), known);
    const size_t colon = item.key().find(':');
    const std::string before = item.key().substr(0, colon);
    if (colon != std::string::npos && std::find(known.begin(), known.end(), before) != known.end()) {
      const std::string fix = format("write `{}: {}`", before, item.key().substr(colon + 1));
      suggestion = {before, "a space is missing behind the colon", fix};
    }
    const std::string place = map.path().empty() ? "" : format(" in `{}`", map.path());
    Diagnostic& d = report.error(Code::unknown_key, format("unknown key `{}`{}", item.key(), place));
    d.key(item).label(suggestion.label).help(known.empty() ? "it takes no keys" : suggestion.help);
    if (item.origin() == Origin::base) {
      d.help(format("`~{}:` in the file that extends this one removes the key", item.key()));
    }
    suggested.push_back(suggestion.name);
  }
  return suggested;
}

// "lr (number): Step size."
std::string help_of(const Fields::Field& field) {
  return format("{} ({}): {}", field.name, field.codec->type().text(), field.help);
}

// One error for all of a map.
void report_missing(const Value& map, const std::vector<const Fields::Field*>& missing, Report& report) {
  if (missing.empty()) return;
  std::string names;
  for (size_t i = 0; i < missing.size(); ++i) {
    names += i == 0 ? "" : i + 1 == missing.size() ? " and " : ", ";
    names += format("`{}`", missing[i]->name);
  }
  Diagnostic& d = report.error(Code::missing_key,
                               format("{} needs the key{} {}", subject(map), missing.size() > 1 ? "s" : "", names));
  d.key(map);
  std::string help;
  for (const Fields::Field* field : missing) {
    help += (help.empty() ? "" : "\n") + help_of(*field);
  }
  d.help(help);
}

}  // namespace

bool Fields::Field::required() const { return find_rule(checks, Check::Rule::required) != nullptr; }

bool Fields::read(const Value& map, Report& report, const ReadOptions& options) const {
  if (map.is_broken()) return false;
  const size_t before = report.size();
  std::vector<std::string_view> known;
  for (const Field& field : fields_) known.push_back(field.name);
  known.insert(known.end(), options.also.begin(), options.also.end());
  const std::vector<std::string> suggested = report_unknown_keys(map, known, report);

  const ReadOptions fresh;
  std::vector<const Field*> missing;
  bool broken = false;
  for (const Field& field : fields_) {
    const Value* value = map.find(field.name);
    if (!value) {
      const bool misspelt = std::find(suggested.begin(), suggested.end(), field.name) != suggested.end();
      if (field.required() && !misspelt) missing.push_back(&field);
      continue;
    }
    broken = broken || value->is_broken();
    Context context{report, field.checks, fresh};
    if (field.required() && value->is_null() && field.codec->type().kind == Type::Kind::any) {
      report.error(Code::missing_key, format("{} has no value", subject(*value))).at(*value).help(help_of(field));
      field.codec->read(Value::broken(value->span()), field.address, context);
      continue;
    }
    const size_t errors = report.size();
    const Value fallback = field.checks.empty() ? Value() : field.codec->write(field.address);
    field.codec->read(*value, field.address, context);
    report.default_help(errors, help_of(field));
    if (report.size() > errors || field.checks.empty()) continue;
    // A default may be what a user may not write (an empty list for "not given"); the resolved form still reads back.
    if (!field.required() && field.codec->write(field.address) == fallback) continue;
    for (const Check& check : field.checks) apply_check(check, *value, report);
    report.default_help(errors, help_of(field));
  }
  report_missing(map, missing, report);
  return !broken && report.size() == before;
}

Value Fields::write() const {
  Value out = Value::map();
  for (const Field& field : fields_) out.set(field.name, field.codec->write(field.address));
  return out;
}

StructInfo Fields::describe() const {
  StructInfo out;
  for (const Field& field : fields_) {
    FieldInfo info;
    info.name = field.name;
    info.help = field.help;
    info.type = field.codec->type();
    info.required = field.required();
    if (!info.required) info.fallback = field.codec->write(field.address);
    info.checks = field.checks;
    out.fields.push_back(std::move(info));
  }
  return out;
}

Value adopt_origins(Value resolved, const Value& given) {
  if (given.is_broken()) return resolved;
  if (resolved.key() == given.key() && given.key_span().known()) resolved.set_key(given.key(), given.key_span());
  if (given.span().known()) resolved.set_span(given.span(), given.is_plain());
  resolved.set_path(given.path());
  resolved.set_note(given.note());
  for (size_t i = 0; i < resolved.size(); ++i) {
    Value& item = resolved.items()[i];
    const Value* other = resolved.is_map()                     ? given.find(item.key())
                         : given.is_list() && i < given.size() ? &given[i]
                                                               : nullptr;
    if (other) {
      item = adopt_origins(std::move(item), *other);
    } else if (resolved.is_list()) {
      item.set_span(given.span());  // a scalar that stands for every element
    }
  }
  return resolved;
}

namespace detail {

bool read_bool(const Value& value, bool fallback, Context& context) {
  if (value.is_bool()) return value.as_bool();
  wrong_type(value, Codec<bool>::type(), context);
  return fallback;
}

int64_t read_int(const Value& value, int64_t fallback, int64_t low, int64_t high, Context& context) {
  if (!value.is_int()) {
    wrong_type(value, Codec<int64_t>::type(), context);
    return fallback;
  }
  const int64_t x = value.as_int();
  if (x >= low && x <= high) return x;
  context.report.error(Code::out_of_range, format("{} must be {} to {}, not {}", subject(value), low, high, x))
      .at(value);
  return fallback;
}

double read_double(const Value& value, double fallback, Context& context) {
  if (!value.is_number()) {
    wrong_type(value, Codec<double>::type(), context);
    return fallback;
  }
  const double x = value.as_double();
  if (std::isfinite(x)) return x;
  const char* wanted = std::isnan(x) ? "a number, not NaN" : "a finite number";
  context.report.error(Code::out_of_range, format("{} must be {}", subject(value), wanted)).at(value);
  return fallback;
}

std::string read_string(const Value& value, std::string fallback, Context& context) {
  if (value.is_string()) return value.as_string();
  wrong_type(value, Codec<std::string>::type(), context);
  return fallback;
}

namespace {

std::string unit_help(const Check* allowed) {
  if (!allowed) return "for example `10 epochs`, `500 steps`, `2h`, `60s` or `524288 tokens`";
  std::string out;
  for (const Unit unit : allowed->units) {
    const Duration sample = unit == Unit::seconds ? Duration::seconds(7200) : Duration{10, unit};
    out += (out.empty() ? "for example `" : "` or `") + sample.text();
  }
  return out + "`";
}

// Why a text is no amount.
std::string unit_label(const Value& value) {
  if (value.is_number()) return "of what?";
  if (!value.is_string()) return {};
  const std::string& text = value.as_string();
  const size_t unit = text.find_first_not_of("+-.0123456789 ");
  if (unit == 0 || unit == std::string::npos) return {};
  if (parse_duration("1 " + text.substr(unit))) return "this is counted in whole numbers";
  return format("there is no unit `{}`", text.substr(unit));
}

}  // namespace

Duration read_duration(const Value& value, Duration fallback, Context& context) {
  if (value.is_broken()) return fallback;
  const Check* bare = find_rule(context.checks, Check::Rule::default_unit);
  const Check* allowed = find_rule(context.checks, Check::Rule::units);
  std::optional<Duration> found;
  if (value.is_string()) found = parse_duration(value.as_string());
  if (value.is_number() && bare) {
    found = Duration{value.as_double(), bare->units[0]};
    const bool fraction = found->amount != std::floor(found->amount);
    if (fraction && found->unit != Unit::epochs && found->unit != Unit::seconds) found.reset();
  }
  constexpr double kMost = 1e15;  // beyond any run, and safe to multiply
  if (found && std::abs(found->amount) > kMost) {
    context.report.error(Code::out_of_range, format("{} is out of range", subject(value)))
        .at(value)
        .label("more than 1e15");
    return fallback;
  }
  if (!found || !std::isfinite(found->amount)) {
    context.report.error(Code::wrong_type, format("{} wants an amount with a unit{}", subject(value), but_got(value)))
        .at(value)
        .label(unit_label(value))
        .help(unit_help(allowed));
    return fallback;
  }
  if (allowed && std::find(allowed->units.begin(), allowed->units.end(), found->unit) == allowed->units.end()) {
    context.report
        .error(Code::out_of_range, format("{} must be {}, not `{}`", subject(value), allowed->text(), value.text()))
        .at(value)
        .help(unit_help(allowed));
    return fallback;
  }
  return *found;
}

int read_choice(const Value& value, std::span<const std::string_view> names, Context& context) {
  if (value.is_broken()) return -1;
  if (value.is_string()) {
    const auto it = std::find(names.begin(), names.end(), value.as_string());
    if (it != names.end()) return static_cast<int>(it - names.begin());
  }
  Diagnostic& d = context.report.error(
      Code::out_of_range, format("{} must be one of {}{}", subject(value), join(names, ", "), but_got(value)));
  d.at(value);
  if (!value.is_string()) return -1;
  const Foreign* const foreign = foreign_kind(value.as_string(), names);
  const auto near = foreign ? std::string(foreign->ours) : nearest(value.as_string(), names);
  if (near) d.label(format("did you mean `{}`?", *near));
  return -1;
}

bool want_list(const Value& value, const Type& type, Context& context) {
  if (value.is_list()) return true;
  wrong_type(value, type, context);
  return false;
}

bool want_map(const Value& value, const Type& type, Context& context) {
  if (value.is_map()) return true;
  wrong_type(value, type, context);
  return false;
}

bool want_length(const Value& value, size_t length, const Type& type, Context& context) {
  if (value.size() == length) return true;
  context.report.error(Code::wrong_type, format("{} wants {}, not {}", subject(value), type.wanted(), value.size()))
      .at(value);
  return false;
}

}  // namespace detail
}  // namespace rstorch::config
