// The kinds of one sort (optimizers, layers, losses, ...) that a config can name: a constexpr sorted table.
//
//   using R = config::Registry<Optimizer, std::vector<Parameter>>;      // what the constructors take before the Config
//   static constexpr R::Entry table[] = {
//       R::entry<AdamW>("AdamW", "Adam with decoupled weight decay."),
//       R::entry<SGD>("SGD", "Stochastic gradient descent, momentum, Nesterov."),
//   };
//   constexpr R optimizers("optimizer", table);                         // does not compile when unsorted or double
//
//   auto recipe = optimizers.read(value, report);                       // validated, nothing constructed
//   report.throw_if_errors();
//   std::unique_ptr<Optimizer> optimizer = recipe.make(parameters);     // as often as you like
//
// In YAML a kind is `Name`, `{Name: {...}}` or `{type: Name, ...}`. A class with a nested `Config` is constructed as
// T(Args..., Config), one without as T(Args...). Everything here may be called from any thread.
#pragma once

#include <concepts>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "config/fields.h"

namespace rstorch::config {

// A kind without its C++ type: enough for help, schema, listing and the resolved form.
struct Kind {
  std::string_view name;
  std::string_view help;
  const StructInfo& (*fields)();                                            // empty when it has no Config
  Value (*resolve)(const Value& body, Report& report, const ReadOptions&);  // body with all defaults
};

struct KindTable {
  std::string_view noun;  // "optimizer"
  std::vector<const Kind*> kinds;
  const Kind* find(std::string_view name) const;
};

std::string help_list(const KindTable& table);                                              // one aligned line per kind
std::string help_text(std::string_view noun, const Kind& kind, size_t width = kHelpWidth);  // the kind and its fields
Value schema(const KindTable& table);                                                       // the three spellings

// A value that names a kind, taken apart.
struct Chosen {
  std::string name;
  Value body;          // a map, or null; positions as in the file
  const Value* where;  // the part of the value that holds the name, for the caret
  bool typed = false;  // spelled `{type: Name, ...}`
};
// Reports what is no spelling of a kind. `noun` is for the sentences. Points into `value`.
std::optional<Chosen> choose(const Value& value, std::string_view noun, Report& report,
                             const ReadOptions& options = {});

namespace detail {
const StructInfo& no_fields();
Value read_no_fields(const Value& body, Report& report, const ReadOptions& options);
void unknown_kind(const Chosen& chosen, std::string_view noun, std::span<const std::string_view> names, Report& report);
template <class T>
concept HasConfig = requires {
  typename T::Config;
};
constexpr bool sorted_before(std::string_view a, std::string_view b) { return a < b; }
}  // namespace detail

template <class Base, class... Args>
class Registry {
 public:
  using Pointer = std::unique_ptr<Base>;

  // A checked config, ready to construct.
  class Recipe {
   public:
    Recipe() = default;
    explicit operator bool() const { return build_ != nullptr; }
    std::string_view name() const { return kind_ ? kind_->name : std::string_view(); }
    const Kind* kind() const { return kind_; }
    const Value& given() const { return given_; }        // as in the file
    const Value& resolved() const { return resolved_; }  // {Name: {every key}}, with origins
    Pointer make(Args... args) const {
      if (!build_) throw InternalError("make() of an empty recipe", "check the report before constructing");
      return build_(std::forward<Args>(args)...);
    }

   private:
    friend class Registry;
    const Kind* kind_ = nullptr;
    Value given_;
    Value resolved_;
    std::function<Pointer(Args...)> build_;
  };

  struct Entry : Kind {
    std::function<Pointer(Args...)> (*prepare)(const Value& body, Report& report, const ReadOptions& options);
  };

  template <std::derived_from<Base> T>
  static constexpr Entry entry(std::string_view name, std::string_view help) {
    if constexpr (detail::HasConfig<T>) {
      using Config = typename T::Config;
      return {{name, help, &describe<Config>,
               [](const Value& body, Report& r, const ReadOptions& o) { return config::resolved<Config>(body, r, o); }},
              [](const Value& body, Report& r, const ReadOptions& o) -> std::function<Pointer(Args...)> {
                return [config = config::read<Config>(body, r, o)](Args... args) -> Pointer {
                  return std::make_unique<T>(std::forward<Args>(args)..., config);
                };
              }};
    } else {
      return {{name, help, &detail::no_fields, &detail::read_no_fields},
              [](const Value& body, Report& r, const ReadOptions& o) -> std::function<Pointer(Args...)> {
                detail::read_no_fields(body, r, o);
                return [](Args... args) -> Pointer { return std::make_unique<T>(std::forward<Args>(args)...); };
              }};
    }
  }

  // For static_assert, and used by the constructor.
  static constexpr bool sorted(std::span<const Entry> table) {
    for (size_t i = 1; i < table.size(); ++i) {
      if (!detail::sorted_before(table[i - 1].name, table[i].name)) return false;
    }
    return true;
  }

  consteval Registry(std::string_view noun, std::span<const Entry> table) : noun_(noun), table_(table) {
    if (!sorted(table)) throw "the table of kinds must be sorted by name, each name once";
  }

  std::string_view noun() const { return noun_; }
  std::span<const Entry> entries() const { return table_; }

  const Entry* find(std::string_view name) const {
    for (const Entry& entry : table_) {
      if (entry.name == name) return &entry;
    }
    return nullptr;
  }

  std::vector<std::string_view> names() const {
    std::vector<std::string_view> out;
    for (const Entry& entry : table_) out.push_back(entry.name);
    return out;
  }

  KindTable kinds() const {
    KindTable out{noun_, {}};
    for (const Entry& entry : table_) out.kinds.push_back(&entry);
    return out;
  }

  // Checks the config of a kind without constructing it. An empty recipe when there was an error.
  // `options.also`: keys beside the kind that someone else reads, as `from` and `as` of a layer.
  Recipe read(const Value& value, Report& report, const ReadOptions& options = {}) const {
    Recipe recipe;
    const std::optional<Chosen> chosen = choose(value, noun_, report, options);
    if (!chosen) return recipe;
    const Entry* entry = find(chosen->name);
    if (!entry) {
      detail::unknown_kind(*chosen, noun_, names(), report);
      return recipe;
    }
    const size_t before = report.size();
    const ReadOptions body_options = chosen->typed ? options : ReadOptions{};
    auto build = entry->prepare(chosen->body, report, body_options);
    if (report.size() > before) return recipe;
    recipe.kind_ = entry;
    recipe.given_ = value;
    recipe.resolved_ = resolved_form(*entry, *chosen, body_options);
    recipe.build_ = std::move(build);
    return recipe;
  }

  // read, then make. nullptr when there was an error.
  Pointer make(const Value& value, Report& report, Args... args) const {
    const Recipe recipe = read(value, report);
    return recipe ? recipe.make(std::forward<Args>(args)...) : nullptr;
  }

  // {Name: {every key with its value}}; broken when there was an error.
  Value resolved(const Value& value, Report& report, const ReadOptions& options = {}) const {
    const Recipe recipe = read(value, report, options);
    return recipe ? recipe.resolved() : Value::broken(value.span());
  }

 private:
  static Value resolved_form(const Entry& entry, const Chosen& chosen, const ReadOptions& options) {
    Report none;
    Value out = Value::map();
    out.set(entry.name, entry.resolve(chosen.body, none, options));
    return out;
  }

  std::string_view noun_;
  std::span<const Entry> table_;
};

}  // namespace rstorch::config
