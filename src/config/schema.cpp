// JSON schema (draft 2020-12) from the description of config structs and tables of kinds. It describes the resolved
// form: `${...}`, `extends` and `vars` are rstorch's own and gone before a schema applies.
#include <cmath>

#include "config/load.h"
#include "config/registry.h"

namespace rstorch::config {
namespace {

Value typed(const char* name) { return Value::map({{"type", name}}); }

Value any_of(std::vector<Value> options) { return Value::map({{"anyOf", Value::list(std::move(options))}}); }

Value bound_value(double x) {
  if (x == std::floor(x) && std::abs(x) < 1e15) return static_cast<int64_t>(x);
  return x;
}

Value duration_schema(const std::vector<Check>& checks) {
  std::vector<Value> options = {
      Value::map({{"type", "string"},
                  {"pattern",
                   "^[0-9.]+([eE][0-9]+)? *(epochs?|steps?|tokens?|samples?|ms|s|sec|seconds?|m|min|minutes?"
                   "|h|hours?|d|days?)$"}})};
  for (const Check& check : checks) {
    if (check.rule == Check::Rule::default_unit) options.push_back(typed("number"));
  }
  return options.size() == 1 ? options[0] : any_of(std::move(options));
}

Value tuple_schema(const Type& type, const Value& element) {
  const auto length = static_cast<int64_t>(type.length);
  Value list = Value::map({{"type", "array"}, {"items", element}, {"minItems", length}, {"maxItems", length}});
  return type.broadcasts ? any_of({element, std::move(list)}) : list;
}

void add_range(const Check& check, Value& out) {
  if (std::isfinite(check.low)) out.set(check.low_open ? "exclusiveMinimum" : "minimum", bound_value(check.low));
  if (std::isfinite(check.high)) out.set(check.high_open ? "exclusiveMaximum" : "maximum", bound_value(check.high));
}

void add_choices(const Check& check, bool numbers, Value& out) {
  Value choices = Value::list();
  for (const std::string& choice : check.choices) {
    choices.append(numbers ? resolve_number(choice) : Value(choice));
  }
  out.set("enum", std::move(choices));
}

void add_non_empty(Type::Kind kind, Value& out) {
  if (kind == Type::Kind::string) out.set("minLength", 1);
  if (kind == Type::Kind::list) out.set("minItems", 1);
  if (kind == Type::Kind::map) out.set("minProperties", 1);
}

void add_check(const Check& check, const Type& type, Value& out) {
  const bool number = type.kind == Type::Kind::integer || type.kind == Type::Kind::number;
  switch (check.rule) {
    case Check::Rule::range:
      if (number) add_range(check, out);
      break;
    case Check::Rule::one_of:
      add_choices(check, number, out);
      break;
    case Check::Rule::non_empty:
      add_non_empty(type.kind, out);
      break;
    case Check::Rule::kind_of:
      out = schema(check.kinds());
      break;
    default:
      break;
  }
}

Value plain_schema(const Type& type, const std::vector<Check>& checks) {
  std::vector<Check> inner;  // what is demanded of each element
  for (const Check& check : checks) {
    if (check.per_element) inner.push_back(check);
  }
  for (Check& check : inner) check.per_element = !type.element.empty() && !type.element[0].element.empty();
  switch (type.kind) {
    case Type::Kind::boolean:
      return typed("boolean");
    case Type::Kind::integer:
      return typed("integer");
    case Type::Kind::number:
      return typed("number");
    case Type::Kind::string:
      return typed("string");
    case Type::Kind::duration:
      return duration_schema(checks);
    case Type::Kind::structure:
      return schema(type.fields());
    case Type::Kind::any:
      return Value::map();
    case Type::Kind::list:
      return Value::map({{"type", "array"}, {"items", schema(type.element[0], inner)}});
    case Type::Kind::map:
      return Value::map({{"type", "object"}, {"additionalProperties", schema(type.element[0], inner)}});
    case Type::Kind::tuple:
      return tuple_schema(type, schema(type.element[0], inner));
    case Type::Kind::choice: {
      Value choices = Value::list();
      for (const std::string& choice : type.choices) choices.append(choice);
      return Value::map({{"enum", std::move(choices)}});
    }
  }
  return {};
}

// `Name`, as `{type: Name, ...}`.
Value typed_spelling(const Kind& kind) {
  Value out = schema(kind.fields());
  Value properties = Value::map({{"type", Value::map({{"const", kind.name}})}});
  for (const Value& item : out.at("properties").items()) properties.set(item.key(), item);
  Value required = Value::list({"type"});
  if (const Value* others = out.find("required")) {
    for (const Value& name : others->items()) required.append(name);
  }
  out.set("properties", std::move(properties));
  out.set("required", std::move(required));
  return out;
}

}  // namespace

Value schema(const Type& type, const std::vector<Check>& checks) {
  Value out = plain_schema(type, checks);
  for (const Check& check : checks) {
    if (!check.per_element) add_check(check, type, out);
  }
  return type.nullable ? any_of({std::move(out), typed("null")}) : out;
}

Value schema(const StructInfo& info) {
  Value properties = Value::map();
  Value required = Value::list();
  for (const FieldInfo& field : info.fields) {
    Value property = Value::map({{"description", field.help}});
    for (const Value& item : schema(field.type, field.checks).items()) {
      if (item.key() != "description") property.set(item.key(), item);
    }
    if (!field.required) property.set("default", field.fallback);
    if (field.required) required.append(field.name);
    properties.set(field.name, std::move(property));
  }
  Value out = Value::map({{"type", "object"}, {"properties", std::move(properties)}, {"additionalProperties", false}});
  if (!required.empty()) out.set("required", std::move(required));
  return out;
}

Value schema(const KindTable& table) {
  Value names = Value::list();
  Value by_name = Value::map();
  std::vector<Value> options;
  for (const Kind* kind : table.kinds) {
    names.append(Value(kind->name));
    Value body = schema(kind->fields());
    body.set("description", kind->help);
    by_name.set(kind->name, any_of({std::move(body), typed("null")}));
  }
  options.push_back(Value::map({{"enum", std::move(names)}}));
  options.push_back(Value::map({{"type", "object"},
                                {"properties", std::move(by_name)},
                                {"additionalProperties", false},
                                {"minProperties", 1},
                                {"maxProperties", 1}}));
  for (const Kind* kind : table.kinds) options.push_back(typed_spelling(*kind));
  return any_of(std::move(options));
}

Value schema_document(const StructInfo& info, std::string_view title) {
  Value out = Value::map({{"$schema", "https://json-schema.org/draft/2020-12/schema"}, {"title", title}});
  for (const Value& item : schema(info).items()) out.set(item.key(), item);
  return out;
}

}  // namespace rstorch::config
