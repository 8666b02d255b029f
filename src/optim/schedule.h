// Schedule: the learning rate of each step, a pure function, so that resuming needs the step number and nothing else.
#pragma once

#include <cstdint>
#include <optional>

#include "config/duration.h"
#include "config/registry.h"

namespace rstorch::optim {

// What a schedule must know of the run to turn epochs, and "the whole run", into steps.
struct RunLength {
  int64_t steps_per_epoch = 1;
  std::optional<int64_t> total_steps = {};  // unset: the run ends by time alone
};

class Schedule {
 public:
  virtual ~Schedule() = default;
  // The rate that step `step` uses; the first is 0.
  virtual double lr(int64_t step) const = 0;
};

// Constructed from the optimizer's rate and the run's length. A constructor throws ArgumentError where the two do not
// do: a cosine without an end, warm-up longer than the run.
using ScheduleRegistry = config::Registry<Schedule, double, RunLength>;
const ScheduleRegistry& schedules();

}  // namespace rstorch::optim
