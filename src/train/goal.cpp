#include "train/goal.h"

#include <algorithm>
#include <cmath>

namespace rstorch {
namespace {

// Losses get better downwards; a metric says it itself.
Goal make_goal(const Experiment& experiment, const std::string& metric, Mode mode) {
  Goal goal{metric, mode == Mode::max};
  for (const MetricRegistry::Recipe& recipe : experiment.metrics) {
    const auto known = recipe.make();
    const std::string name = "val." + known->name();
    if (goal.metric == "auto") goal.metric = name;
    if (goal.metric == name && mode == Mode::automatic) goal.higher_is_better = known->higher_is_better();
  }
  if (goal.metric == "auto") goal.metric = "val.loss";
  return goal;
}

}  // namespace

bool Goal::update(std::optional<BestValue>& best, double value, int64_t step) const {
  if (std::isnan(value)) return false;
  if (best && (higher_is_better ? value <= best->value : value >= best->value)) return false;
  best = BestValue{value, step};
  return true;
}

std::optional<Goal> best_goal(const Experiment& experiment) {
  const std::optional<KeepBest>& keep = experiment.config.checkpoint.keep_best;
  if (!keep || !experiment.data.has_val()) return {};
  return make_goal(experiment, keep->metric, keep->mode);
}

std::optional<Goal> stopping_goal(const Experiment& experiment) {
  const std::optional<EarlyStopping>& stopping = experiment.config.trainer.early_stopping;
  if (!stopping || !experiment.data.has_val()) return {};
  return make_goal(experiment, stopping->metric, stopping->mode);
}

RunEnd run_end(const Experiment& experiment, const optim::RunLength& length, std::optional<int64_t> limit) {
  RunEnd end{length.total_steps, stopping_goal(experiment)};
  if (limit) end.last_step = std::min(*limit, end.last_step.value_or(*limit));
  if (end.goal) {
    const config::Duration& patience = experiment.config.trainer.early_stopping->patience;
    end.patience = config::in_steps(patience, length.steps_per_epoch);
  }
  return end;
}

}  // namespace rstorch
