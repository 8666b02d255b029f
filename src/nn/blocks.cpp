#include "nn/blocks.h"

#include <algorithm>

#include "config/fields.h"
#include "config/load.h"
#include "config/suggest.h"

namespace rstorch::nn {
namespace {

using config::Code;
using config::Report;
using config::Value;

struct BlockConfig {
  Value params = Value::map();
  Value layers;
  static void describe(auto& field) {
    field("params", &BlockConfig::params, "Parameters and their defaults; ~ marks one that each use must give.");
    field("layers", &BlockConfig::layers, "Layers, in which ${parameter} stands for a value.", required);
  }
};

void unknown_name(const Value& at, std::string_view what, std::string_view name,
                  std::span<const std::string_view> known, Code code, Report& report) {
  const config::Suggestion suggestion = config::suggest_key(name, known);
  report.error(code, format("{} `{}`", what, name)).key(at).label(suggestion.label).help(suggestion.help);
}

// The parameters of one use: what it gives, laid over the defaults. Nothing where something was reported.
std::optional<Value> arguments_of(const std::string& block, const Value& params, const Value& given, Report& report) {
  const size_t errors = report.size();
  const std::vector<std::string_view> known = params.keys();
  Value out = params;
  for (const Value& argument : given.items()) {
    if (!params.has(argument.key())) {
      unknown_name(argument, format("block `{}` has no parameter", block), argument.key(), known, Code::unknown_key,
                   report);
    } else {
      *out.find(argument.key()) = argument;
    }
  }
  std::string missing;
  for (const Value& param : out.items()) {
    if (param.is_null()) missing += (missing.empty() ? "`" : ", `") + param.key() + "`";
  }
  if (!missing.empty()) {
    report.error(Code::missing_key, format("block `{}` needs the parameter {}", block, missing))
        .at(given)
        .help(format("write `block: {{{}: {{{}: VALUE}}}}`", block, missing.substr(1, missing.find('`', 1) - 1)));
  }
  return report.size() == errors ? std::optional(std::move(out)) : std::nullopt;
}

}  // namespace

Blocks::Blocks(const std::map<std::string, Value>& blocks, Report& report) {
  for (const auto& [name, value] : blocks) {
    const size_t errors = report.size();
    const auto config = config::read<BlockConfig>(value, report);
    const bool has_params = config.params.is_map() || config.params.is_null();
    if (!has_params && !config.params.is_broken()) {
      report.error(Code::wrong_type, format("`{}` wants a map of parameters", config.params.path())).at(config.params);
    }
    Block& block = blocks_[name];
    block.layers = report.size() > errors ? Value::broken(value.span()) : config.layers;
    if (config.params.is_map()) block.params = config.params;
  }
}

std::optional<BlockUse> Blocks::expand(const Value& use, const std::vector<std::string>& open, Report& report) const {
  if (use.is_broken()) return std::nullopt;
  const Value* only = use.only();
  const bool has_arguments = only && (only->is_map() || only->is_null());
  if (!use.is_string() && !has_arguments) {
    report.error(Code::wrong_type, format("`{}` wants the name of a block", use.path()))
        .at(use)
        .help("write `block: name` or `block: {name: {parameter: value}}`");
    return std::nullopt;
  }
  const std::string name = use.is_string() ? use.as_string() : only->key();
  const Value& where = use.is_string() ? use : *only;
  const auto found = blocks_.find(name);
  if (found == blocks_.end()) {
    std::vector<std::string_view> known;
    for (const auto& [known_name, block] : blocks_) known.push_back(known_name);
    unknown_name(where, "there is no block", name, known, Code::reference, report);
    return std::nullopt;
  }
  if (std::find(open.begin(), open.end(), name) != open.end()) {
    report.error(Code::reference, format("block `{}` contains itself", name))
        .key(where)
        .help("use `repeat` for layers that come several times");
    return std::nullopt;
  }
  const Block& block = found->second;
  const std::optional<Value> arguments = arguments_of(name, block.params, where, report);
  if (!arguments) return std::nullopt;
  return BlockUse{name, config::substitute(block.layers, *arguments, report)};
}

}  // namespace rstorch::nn
