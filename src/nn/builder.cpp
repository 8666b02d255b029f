#include "nn/builder.h"

#include <algorithm>
#include <set>
#include <tuple>

#include "autograd/grad_mode.h"
#include "nn/init.h"
#include "nn/layer_tree.h"
#include "nn/model_maker.h"
#include "nn/name_pattern.h"
#include "nn/placement.h"
#include "nn/random_scope.h"

namespace rstorch::nn {
namespace {

using config::Code;
using config::Report;
using config::Value;

// The shape of one sample, from the data and from what the model says; nothing, and an error, where they differ or both
// are silent.
std::optional<Shape> sample_shape(const Value& model, const ModelConfig& config, const BuildOptions& options,
                                  Report& report) {
  if (!config.input) {
    if (!options.sample_shape) {
      report.error(Code::missing_key, "`model.input.shape` is needed where there is no data")
          .key(model)
          .help("write input: {shape: [channels, height, width]}");
    }
    return options.sample_shape;
  }
  if (config.input->shape.empty()) return std::nullopt;  // reported
  const Shape stated(config.input->shape);
  if (options.sample_shape && *options.sample_shape != stated) {
    report.error(Code::data_mismatch, "the model's input is not what the data gives")
        .at(model.at("input").at("shape"))
        .label(format("the data has {}", options.sample_shape->text()))
        .help(format("write {}, or leave out `input`", options.sample_shape->text()));
  }
  return stated;
}

// An error of a block's layers comes once for every use of the block; it is shown once.
void append_once(const Report& from, Report& into) {
  std::set<std::tuple<const void*, uint32_t, std::string, std::string>> seen;
  for (const config::Diagnostic& error : from.errors()) {
    const config::Span& span = error.span();
    if (!seen.emplace(span.source.get(), span.begin, error.message(), error.label()).second) continue;
    into.error(error.code(), error.message()) = error;
  }
}

// Two layers with one key: the indices in a Residual's body are those of what is around it.
void check_keys(const Module& model, const Value& layers, Report& report) {
  std::set<std::string> keys, reported;
  for (const NamedTensor& named : model.state_dict()) {
    const std::string layer = named.name.substr(0, named.name.rfind('.'));
    if (keys.insert(named.name).second || !reported.insert(layer).second) continue;
    report.error(Code::conflict, format("two layers have the state_dict key `{}`", layer))
        .at(layers)
        .help("name the layers in a Residual: `- NAME: LAYER`");
  }
}

// Initial values on the CPU, each drawn from a key that depends on the seed and the parameter's number only.
void initialise(Module& model, uint64_t seed) {
  uint32_t number = 0;
  model.apply([&](Module& module) {
    const auto place = [](const NamedTensor& named) {
      if (!named.tensor.defined()) return;
      try {
        named.tensor.set_data(Tensor::empty(named.tensor.shape(), {named.tensor.dtype()}));
      } catch (const OutOfMemoryError& error) {
        throw OutOfMemoryError(format("the parameter {} {}: {}", named.name, named.tensor.shape().text(), error.what()),
                               "`rstorch plan` shows the parameters of each layer; make this one smaller");
      }
    };
    std::for_each(module.own_parameters().begin(), module.own_parameters().end(), place);
    std::for_each(module.own_buffers().begin(), module.own_buffers().end(), place);
    const init::KeyedScope keyed(seed, number);
    module.reset_parameters();
    number += uint32_t(std::count_if(module.own_parameters().begin(), module.own_parameters().end(),
                                     [](const NamedTensor& named) { return named.tensor.defined(); }));
  });
}

struct InitRule {
  NamePattern pattern;
  init::InitializerRegistry::Recipe initializer;
  Value where;
};

std::vector<InitRule> read_init_rules(const std::vector<Value>& rules, Report& report) {
  std::vector<InitRule> out;
  for (const Value& rule : rules) {
    if (rule.is_broken()) continue;
    const Value* match = rule.find("match");
    if (!match) {
      report.error(Code::missing_key, format("`{}` needs the key `match`", rule.path()))
          .at(rule)
          .help("write {match: \".*weight\", kaiming_normal: {mode: fan_out}}");
      continue;
    }
    const std::optional<NamePattern> pattern = NamePattern::read(*match, report);
    auto recipe = init::initializers().read(rule.without({"match"}), report);
    if (pattern && recipe) out.push_back({*pattern, std::move(recipe), rule});
  }
  return out;
}

// `model.init`: for each parameter the first rule that matches, drawn from the parameter's own key.
void apply_init_rules(Module& model, const std::vector<InitRule>& rules, const BuildOptions& options, Report& report) {
  const std::vector<NamedTensor> parameters = model.named_parameters();
  std::set<const InitRule*> used, refused;
  for (size_t i = 0; i < parameters.size(); ++i) {
    const auto& [name, parameter] = parameters[i];
    const auto rule =
        std::find_if(rules.begin(), rules.end(), [&](const InitRule& r) { return r.pattern.matches(name); });
    for (const InitRule& each : rules) {
      if (each.pattern.matches(name)) used.insert(&each);
    }
    if (rule == rules.end() || refused.contains(&*rule)) continue;
    const init::KeyedScope keyed(options.seed, uint32_t(i));
    try {
      rule->initializer.make()->apply(parameter);
    } catch (const Error& error) {
      refused.insert(&*rule);
      report.error(Code::shapes, error.what()).at(rule->where).label(format("matches {}", name)).help(error.hint());
    }
  }
  for (const InitRule& rule : rules) {
    if (!used.contains(&rule)) rule.pattern.report_unmatched(parameters, report);
  }
}

void load_weights(Module& model, const ModelConfig::Weights& weights, const Value& where, const BuildOptions& options,
                  Report& report) {
  if (weights.load.empty()) return;
  if (!options.load_weights) throw InternalError("build_model: `weights.load` needs BuildOptions::load_weights");
  try {
    model.load_state_dict(options.load_weights(weights.load), weights.strict ? Strict::yes : Strict::no);
  } catch (const Error& error) {
    report.error(Code::resource, format("the weights of `{}` cannot be used", weights.load))
        .at(where.at("load"))
        .help(error.hint())
        .line("because", error.what());
  }
}

void freeze(Module& model, const Value& patterns, Report& report) {
  const std::vector<NamedTensor> parameters = model.named_parameters();
  for (const Value& value : patterns.items()) {
    const std::optional<NamePattern> pattern = NamePattern::read(value, report);
    if (!pattern) continue;
    size_t matched = 0;
    for (const auto& [name, parameter] : parameters) {
      if (!pattern->matches(name)) continue;
      Tensor(parameter).set_requires_grad(false);
      ++matched;
    }
    if (matched == 0) pattern->report_unmatched(parameters, report);
  }
}

BuiltModel build(const Value& model, const BuildOptions& options, Report& report) {
  BuiltModel out;
  if (model.is_broken()) return out;
  const auto config = config::read<ModelConfig>(model, report);
  if (!model.is_map()) return out;
  const std::vector<LayerNode> layers = read_layers(config.layers, config.blocks, report);
  const std::vector<InitRule> rules = read_init_rules(config.init, report);
  const std::optional<Shape> sample = sample_shape(model, config, options, report);
  const size_t errors = report.size();
  check_names(layers, report);
  if (!sample || !model.has("layers") || report.size() > errors) return out;

  const PlacementScope placement({kCPU, options.dtype});
  ModelMaker maker(*sample, is_floating(options.sample_dtype) ? options.dtype : options.sample_dtype, report);
  std::unique_ptr<Sequential> module = maker.make(layers);
  if (!module) return out;
  check_keys(*module, model.at("layers"), report);
  if (!options.device.is_meta()) initialise(*module, options.seed);
  apply_init_rules(*module, rules, options, report);
  if (config.weights) {
    const Value& weights = model.at("weights");
    if (!options.device.is_meta()) load_weights(*module, *config.weights, weights, options, report);
    if (const Value* patterns = weights.find("freeze")) freeze(*module, *patterns, report);
  }
  number_layers(*module);
  module->train();
  module->to(options.device);
  return {std::move(module), maker.infos(), *sample, maker.output()};
}

}  // namespace

BuiltModel build_model(const Value& model, const BuildOptions& options, Report& report) {
  Report own;
  BuiltModel out = build(model, options, own);
  append_once(own, report);
  if (!own.ok()) out.module.reset();
  return out;
}

}  // namespace rstorch::nn
