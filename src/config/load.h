// Reading config files: text -> Value, `extends`, command-line overrides, `vars` and `${...}`.
//
// Nothing here throws for what a user wrote: errors go to the report, and what could not be read comes back as a
// *broken* value, about which later stages stay silent. So one report holds every error of every stage.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config/report.h"
#include "config/value.h"

namespace rstorch::config {

inline constexpr size_t max_depth = 64;
inline constexpr size_t max_bytes = 1 << 20;
inline constexpr size_t max_values = 50000;  // after aliases are followed

struct LoadOptions {
  // Below these paths `${name}` without a prefix is left for a later `substitute`.
  std::vector<std::string> deferred = {"model.blocks"};
  // Maps whose keys are names with dots, so that the override `expect.val.accuracy=...` means the key "val.accuracy".
  std::vector<std::string> dotted = {"expect"};
  // Reads an environment variable; tests put their own here.
  std::function<std::optional<std::string>(const std::string&)> environment;
};

// The whole of it: parse, extends, overrides, vars. `extends` and `vars` are gone from the result.
Value load(const std::filesystem::path& file, std::span<const std::string> overrides, Report& report,
           const LoadOptions& options = {});
// The same for a text that is not in a file (its `extends` are relative to the working directory).
Value load_text(std::string text, const std::string& name, std::span<const std::string> overrides, Report& report,
                const LoadOptions& options = {});

// --- the stages, for use alone ---

// One YAML text with a map, list or scalar on top; no extends, no vars.
Value parse(std::string text, const std::string& name, Report& report, Origin origin = Origin::file);

// `later` laid over `base`: maps merge, everything else replaces. `{Kind: ..}` over another `{OtherKind: ..}` replaces.
// A key `~name` in `later` removes `name` from `base`.
Value merge(Value base, Value later, Report& report);

// `key.path=value` or `~key.path`; `number` is its place on the command line, from 1.
void apply_override(Value& root, const std::string& argument, int number, Report& report,
                    const LoadOptions& options = {});

// Puts values in place of `${name}`, in the whole subtree; positions stay. `vars.` and `env:` are not touched.
// A string that is exactly one `${name}` becomes that value with its type. Used for the parameters of a block.
// Unknown names are errors.
Value substitute(Value tree, const Value& names, Report& report);

// How a plain (unquoted) YAML scalar reads: null, true/false, numbers, else text. Unclear numbers are reported.
Value resolve_plain(std::string_view text, Span where, Report& report);
// The same, when only a number is of interest: null when the text is none.
Value resolve_number(std::string_view text);

}  // namespace rstorch::config
