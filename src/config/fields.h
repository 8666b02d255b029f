// Config structs: plain members with defaults, and one `describe` from which everything else follows.
//
//   struct Config {
//     double lr = 1e-3;
//     std::optional<double> clip;
//     Mode mode = Mode::min;
//     static void describe(auto& field) {
//       field("lr", &Config::lr, "Step size.", positive);
//       field("clip", &Config::clip, "Largest gradient norm.", positive);
//       field("mode", &Config::mode, "min or max.");
//     }
//     // optional, for rules between fields; called when the fields themselves are right
//     void validate(const config::Value& at, config::Report& report) const;
//   };
//   Config c = config::read<Config>(value, report);   // what a user got wrong goes to the report; nothing is thrown
//   config::Value v = config::write(c);               // the resolved form
//
// Field types: bool, integers, floating point, std::string, enums with names (below), std::optional, std::vector,
// std::array, std::map<std::string, T>, nested structs with a `describe`, Duration, and Value (the raw subtree, read
// later). A std::array of integers also takes a single number, as PyTorch's kernel_size does. For another type,
// specialise Codec. A struct may inherit fields: `Common::describe(field);` as the first line of its describe.
#pragma once

#include <array>
#include <concepts>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "config/check.h"
#include "config/describe.h"
#include "config/report.h"
#include "config/value.h"

namespace rstorch::config {

using Pair = std::array<int64_t, 2>;

// --- enums ---
// Beside the enum, in its namespace (or as a friend in its class):
//   constexpr auto names_of(Mode) { return config::names<Mode>({{Mode::min, "min"}, {Mode::max, "max"}}); }
template <class E, size_t N>
constexpr std::array<std::pair<E, std::string_view>, N> names(const std::pair<E, std::string_view> (&list)[N]) {
  return std::to_array(list);
}
template <class E>
concept NamedEnum = std::is_enum_v<E> && requires(E e) {
  names_of(e);
};

template <NamedEnum E>
std::string_view name_of(E e) {
  for (const auto& [value, name] : names_of(e)) {
    if (value == e) return name;
  }
  return "?";
}

// --- reading ---
struct ReadOptions {
  // Keys of the same map that someone else reads: no error, but part of the suggestions.
  std::vector<std::string_view> also = {};
};

struct Context {
  Report& report;
  const std::vector<Check>& checks;  // of the field that is being read
  const ReadOptions& options;        // for the struct at hand only; nested ones get fresh ones
};

// How one field type is read, written and described. Each specialisation has these three.
template <class T>
struct Codec;  // static void read(const Value&, T&, Context&); static Value write(const T&); static Type type();

// A codec without its type.
struct AnyCodec {
  void (*read)(const Value&, void*, Context&);
  Value (*write)(const void*);
  Type (*type)();
};
template <class T>
inline constexpr AnyCodec any_codec = {
    [](const Value& value, void* out, Context& context) { Codec<T>::read(value, *static_cast<T*>(out), context); },
    [](const void* in) { return Codec<T>::write(*static_cast<const T*>(in)); },
    [] { return Codec<T>::type(); },
};

// The fields of one object, in order. `describe` fills it; the rest is ordinary code in fields.cpp.
class Fields {
 public:
  struct Field {
    std::string_view name;
    std::string_view help;
    void* address;
    const AnyCodec* codec;
    std::vector<Check> checks;
    bool required() const;
  };

  const std::vector<Field>& all() const { return fields_; }
  // True when this map brought no error.
  bool read(const Value& map, Report& report, const ReadOptions& options) const;
  Value write() const;
  StructInfo describe() const;

 protected:
  void add(std::string_view name, std::string_view help, void* address, const AnyCodec* codec,
           std::vector<Check> checks) {
    fields_.push_back({name, help, address, codec, std::move(checks)});
  }

 private:
  std::vector<Field> fields_;
};

template <class C>
class FieldsOf : public Fields {
 public:
  explicit FieldsOf(C& object) : object_(object) { C::describe(*this); }
  FieldsOf(const FieldsOf&) = delete;
  FieldsOf& operator=(const FieldsOf&) = delete;

  template <class Owner, class T, std::same_as<Check>... Checks>
  requires std::derived_from<C, Owner>
  void operator()(std::string_view name, T Owner::*member, std::string_view help, const Checks&... checks) {
    add(name, help, &(object_.*member), &any_codec<T>, {checks...});
  }

 private:
  C& object_;
};

template <class T>
concept Described = std::is_class_v<T> && std::default_initializable<T> && requires(FieldsOf<T>& f) {
  T::describe(f);
};
template <class T>
concept Validated = requires(const T& t, const Value& at, Report& report) {
  t.validate(at, report);
};

template <class T>
T read(const Value& value, Report& report, const ReadOptions& options = {}) {
  static const std::vector<Check> none;
  T out{};
  Context context{report, none, options};
  Codec<T>::read(value, out, context);
  return out;
}

template <class T>
Value write(const T& object) {
  return Codec<T>::write(object);
}

template <Described C>
const StructInfo& describe() {
  static const StructInfo info = [] {
    C object{};
    return FieldsOf<C>(object).describe();
  }();
  return info;
}

// Reads and writes back: every default is there, and what the user set keeps its position and origin.
Value adopt_origins(Value resolved, const Value& given);
template <class T>
Value resolved(const Value& value, Report& report, const ReadOptions& options = {}) {
  return adopt_origins(write(read<T>(value, report, options)), value);
}

// For a config made in C++: throws ConfigReport when a check fails.
template <Described C>
void require_valid(const C& object) {
  Report report;
  read<C>(write(object), report);
  report.throw_if_errors();
}

// --- the codecs; the work is in fields.cpp ---
namespace detail {
bool read_bool(const Value& value, bool fallback, Context& context);
int64_t read_int(const Value& value, int64_t fallback, int64_t low, int64_t high, Context& context);
double read_double(const Value& value, double fallback, Context& context);
std::string read_string(const Value& value, std::string fallback, Context& context);
Duration read_duration(const Value& value, Duration fallback, Context& context);
// The index into names, or -1 when it was reported.
int read_choice(const Value& value, std::span<const std::string_view> names, Context& context);
bool want_list(const Value& value, const Type& type, Context& context);
bool want_map(const Value& value, const Type& type, Context& context);
bool want_length(const Value& value, size_t length, const Type& type, Context& context);
}  // namespace detail

template <>
struct Codec<bool> {
  static void read(const Value& v, bool& out, Context& c) { out = detail::read_bool(v, out, c); }
  static Value write(bool x) { return x; }
  static Type type() { return {.kind = Type::Kind::boolean}; }
};

template <std::integral T>
requires(!std::same_as<T, bool>) struct Codec<T> {
  static constexpr int64_t low = std::is_signed_v<T> ? static_cast<int64_t>(std::numeric_limits<T>::min()) : 0;
  static constexpr int64_t high =
      sizeof(T) == 8 ? std::numeric_limits<int64_t>::max() : static_cast<int64_t>(std::numeric_limits<T>::max());
  static void read(const Value& v, T& out, Context& c) {
    out = static_cast<T>(detail::read_int(v, static_cast<int64_t>(out), low, high, c));
  }
  static Value write(T x) { return static_cast<int64_t>(x); }
  static Type type() { return {.kind = Type::Kind::integer}; }
};

template <std::floating_point T>
struct Codec<T> {
  static void read(const Value& v, T& out, Context& c) { out = static_cast<T>(detail::read_double(v, out, c)); }
  static Value write(T x) { return static_cast<double>(x); }
  static Type type() { return {.kind = Type::Kind::number}; }
};

template <>
struct Codec<std::string> {
  static void read(const Value& v, std::string& out, Context& c) { out = detail::read_string(v, std::move(out), c); }
  static Value write(const std::string& x) { return x; }
  static Type type() { return {.kind = Type::Kind::string}; }
};

template <>
struct Codec<Value> {
  static void read(const Value& v, Value& out, Context&) { out = v; }
  static Value write(const Value& x) { return x; }
  static Type type() { return {}; }
};

template <>
struct Codec<Duration> {
  static void read(const Value& v, Duration& out, Context& c) { out = detail::read_duration(v, out, c); }
  static Value write(const Duration& x) { return x.text(); }
  static Type type() { return {.kind = Type::Kind::duration}; }
};

template <NamedEnum E>
struct Codec<E> {
  static void read(const Value& v, E& out, Context& c) {
    const auto table = names_of(E{});
    std::array<std::string_view, std::tuple_size_v<decltype(table)>> texts;
    for (size_t i = 0; i < table.size(); ++i) texts[i] = table[i].second;
    if (const int index = detail::read_choice(v, texts, c); index >= 0) out = table[static_cast<size_t>(index)].first;
  }
  static Value write(E x) { return Value(name_of(x)); }
  static Type type() {
    Type type{.kind = Type::Kind::choice};
    for (const auto& entry : names_of(E{})) type.choices.emplace_back(entry.second);
    return type;
  }
};

template <class T>
struct Codec<std::optional<T>> {
  static void read(const Value& v, std::optional<T>& out, Context& c) {
    if (v.is_null()) {
      out.reset();
      return;
    }
    if (!out) out.emplace();
    Codec<T>::read(v, *out, c);
  }
  static Value write(const std::optional<T>& x) { return x ? Codec<T>::write(*x) : Value(); }
  static Type type() {
    Type type = Codec<T>::type();
    type.nullable = true;
    return type;
  }
};

template <class T>
struct Codec<std::vector<T>> {
  static void read(const Value& v, std::vector<T>& out, Context& c) {
    if (!detail::want_list(v, type(), c)) return;
    out.clear();
    for (const Value& item : v.items()) {
      T element{};  // a variable of its own, for std::vector<bool>
      Codec<T>::read(item, element, c);
      out.push_back(std::move(element));
    }
  }
  static Value write(const std::vector<T>& x) {
    Value out = Value::list();
    for (const auto& item : x) out.append(Codec<T>::write(item));
    return out;
  }
  static Type type() { return {.kind = Type::Kind::list, .element = {Codec<T>::type()}}; }
};

template <class T, size_t N>
struct Codec<std::array<T, N>> {
  static constexpr bool broadcasts = std::integral<T> && !std::same_as<T, bool>;
  static void read(const Value& v, std::array<T, N>& out, Context& c) {
    if (broadcasts && v.is_scalar() && !v.is_null()) {
      Codec<T>::read(v, out[0], c);
      out.fill(out[0]);
      return;
    }
    if (!detail::want_list(v, type(), c) || !detail::want_length(v, N, type(), c)) return;
    for (size_t i = 0; i < N; ++i) Codec<T>::read(v[i], out[i], c);
  }
  static Value write(const std::array<T, N>& x) {
    Value out = Value::list();
    for (const T& item : x) out.append(Codec<T>::write(item));
    return out;
  }
  static Type type() {
    return {.kind = Type::Kind::tuple, .broadcasts = broadcasts, .length = N, .element = {Codec<T>::type()}};
  }
};

template <class T>
struct Codec<std::map<std::string, T>> {
  static void read(const Value& v, std::map<std::string, T>& out, Context& c) {
    if (!detail::want_map(v, type(), c)) return;
    out.clear();
    for (const Value& item : v.items()) Codec<T>::read(item, out[item.key()], c);
  }
  static Value write(const std::map<std::string, T>& x) {
    Value out = Value::map();
    for (const auto& [key, item] : x) out.set(key, Codec<T>::write(item));
    return out;
  }
  static Type type() { return {.kind = Type::Kind::map, .element = {Codec<T>::type()}}; }
};

template <Described C>
struct Codec<C> {
  static void read(const Value& v, C& out, Context& c) {
    if (!v.is_null() && !detail::want_map(v, type(), c)) return;
    const bool good = FieldsOf<C>(out).read(v, c.report, c.options);
    if constexpr (Validated<C>) {
      if (good) out.validate(v, c.report);
    }
  }
  static Value write(const C& x) { return FieldsOf<C>(const_cast<C&>(x)).write(); }  // only read from
  static Type type() { return {.kind = Type::Kind::structure, .fields = &describe<C>}; }
};

}  // namespace rstorch::config
