// "Every 500 steps", "every epoch", "every 10 minutes": whether it is time again.
#pragma once

#include <algorithm>
#include <cstdint>

#include "config/duration.h"

namespace rstorch {

class Cadence {
 public:
  // `seconds`: of training so far.
  Cadence(const config::Duration& every, int64_t steps_per_epoch, double seconds)
      : by_time_(every.unit == config::Unit::seconds),
        steps_(by_time_ ? 0 : config::in_steps(every, steps_per_epoch)),
        period_(every.amount),
        last_(seconds) {}

  // To be asked once after each step.
  bool due(int64_t step, double seconds) {
    if (!by_time_) return step % steps_ == 0;
    if (seconds - last_ < period_) return false;
    last_ = seconds;
    return true;
  }

 private:
  bool by_time_;
  int64_t steps_;
  double period_;
  double last_;
};

}  // namespace rstorch
