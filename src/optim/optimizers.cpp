#include "optim/optimizers.h"

#include <algorithm>

#include "optim/adam.h"
#include "optim/sgd.h"

namespace rstorch::optim {
namespace {

using config::Code;
using config::Report;
using config::Value;

using R = OptimizerRegistry;
constexpr R::Entry table[] = {
    R::entry<Adam>("Adam", "Adaptive moments."),
    R::entry<AdamW>("AdamW", "Adam with decoupled weight decay."),
    R::entry<SGD>("SGD", "Stochastic gradient descent, momentum, Nesterov."),
};

// The map that holds an optimizer's settings, in either spelling: {type: SGD, lr: 0.1} or {SGD: {lr: 0.1}}.
Value* settings_of(Value& optimizer) {
  if (optimizer.has("type")) return &optimizer;
  return optimizer.only() ? &optimizer.items()[0] : nullptr;
}

// The optimizer with what a group says in place of its own settings.
Value with_group(const Value& optimizer, const Value& group) {
  Value out = optimizer;
  Value* settings = settings_of(out);
  if (settings == nullptr || !settings->is_map()) {  // `SGD`, or {SGD: }: no settings to lay them over
    out = Value::map({{optimizer.is_string() ? optimizer.as_string() : optimizer.items()[0].key(), group}});
    settings = &out.items()[0];
  }
  for (const Value& setting : group.items()) settings->set(setting.key(), setting);
  settings->set_path(group.path());
  return out;
}

struct GivenGroup {
  std::optional<nn::NamePattern> pattern;  // nothing where it was reported
  Value overrides;
};

std::vector<GivenGroup> read_groups(const Value& groups, Report& report) {
  std::vector<GivenGroup> out;
  if (groups.is_broken()) return out;
  if (!groups.is_list()) {
    report.error(Code::wrong_type, format("`{}` wants a list, not {}", groups.path(), groups.kind_text()))
        .at(groups)
        .help("write groups: [{match: \".*bias\", weight_decay: 0}]");
    return out;
  }
  for (const Value& group : groups.items()) {
    if (const Value* match = group.find("match")) {
      out.push_back({nn::NamePattern::read(*match, report), group.without({"match"})});
    } else if (!group.is_broken()) {
      report.error(Code::missing_key, format("`{}` needs the key `match`", group.path()))
          .at(group)
          .help("match (text): a regular expression; the group has the parameters whose whole name matches");
    }
  }
  return out;
}

}  // namespace

const OptimizerRegistry& optimizers() {
  static constexpr R registry("optimizer", table);
  return registry;
}

OptimizerSpec OptimizerSpec::read(const Value& value, Report& report) {
  const size_t errors = report.size();
  OptimizerSpec spec;
  Value optimizer = value;
  Value groups = Value::list();
  if (Value* settings = settings_of(optimizer); settings && settings->has("groups")) {
    groups = settings->at("groups");
    settings->erase("groups");
  }
  spec.recipes_.push_back(optimizers().read(optimizer, report, {.also = {"groups"}}));
  for (GivenGroup& group : read_groups(groups, report)) {
    if (group.pattern) spec.patterns_.push_back(std::move(*group.pattern));
    if (spec.recipes_[0]) spec.recipes_.push_back(optimizers().read(with_group(optimizer, group.overrides), report));
  }
  if (report.size() > errors || !spec.recipes_[0]) return {};
  spec.resolved_ = spec.recipes_[0].resolved();
  spec.lr_ = spec.resolved_.items()[0].at("lr").as_double();
  spec.resolved_.items()[0].set("groups", groups);
  return spec;
}

ParameterGroups OptimizerSpec::assign(const std::vector<nn::NamedTensor>& parameters, Report& report) const {
  ParameterGroups out(patterns_.size() + 1);
  std::vector<nn::NamedTensor> trained;
  for (const nn::NamedTensor& named : parameters) {
    if (!named.tensor.requires_grad()) continue;
    trained.push_back(named);
    const auto first = std::find_if(patterns_.begin(), patterns_.end(),
                                    [&](const nn::NamePattern& pattern) { return pattern.matches(named.name); });
    out[first == patterns_.end() ? 0 : size_t(first - patterns_.begin()) + 1].push_back(named);
  }
  for (const nn::NamePattern& pattern : patterns_) {
    const auto matches = [&](const nn::NamedTensor& named) { return pattern.matches(named.name); };
    if (std::none_of(trained.begin(), trained.end(), matches)) pattern.report_unmatched(trained, report);
  }
  return out;
}

std::unique_ptr<Optimizer> OptimizerSpec::make(const std::vector<std::vector<Tensor>>& groups) const {
  if (groups.size() != recipes_.size()) {
    throw InternalError(
        format("optimizer: {} groups of parameters for {} of the config", groups.size(), recipes_.size()));
  }
  std::unique_ptr<Optimizer> optimizer = recipes_[0].make(groups[0]);
  for (size_t i = 1; i < groups.size(); ++i) optimizer->add_groups(std::move(*recipes_[i].make(groups[i])));
  return optimizer;
}

}  // namespace rstorch::optim
