// A metric and which direction of it is better: what the best checkpoint and early stopping go by; and where a run
// ends.
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

// A run ends at its last step, or when what early stopping watches has not got better for too long.
struct RunEnd {
  std::optional<int64_t> last_step;  // unset: it ends by time
  std::optional<Goal> goal;
  int64_t patience = 0;  // steps

  bool is_last(int64_t step) const { return last_step && step >= *last_step; }
  bool out_of_patience(const TrainingState& state) const {
    return goal && state.stopping && state.step - state.stopping->step >= patience;
  }
  bool reached(const TrainingState& state) const { return is_last(state.step) || out_of_patience(state); }
};
// `limit`: of steps, beside those of the config.
RunEnd run_end(const Experiment& experiment, const optim::RunLength& length, std::optional<int64_t> limit);

}  // namespace rstorch
