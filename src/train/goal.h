// A metric and which direction of it is better: what the best checkpoint and early stopping go by.
#pragma once

#include <optional>
#include <string>

#include "train/experiment.h"
#include "train/training_state.h"

namespace rstorch {

struct Goal {
  std::string metric;  // "val.accuracy"
  bool higher_is_better = false;

  // Keeps the better one; true if it is the new value. NaN is never better.
  bool update(std::optional<BestValue>& best, double value, int64_t step) const;
};

// Nothing where the config does not want one, or has nothing to validate on.
std::optional<Goal> best_goal(const Experiment& experiment);
std::optional<Goal> stopping_goal(const Experiment& experiment);

}  // namespace rstorch
