// The learning-rate schedules that a config can name.
#include "optim/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/error.h"
#include "config/fields.h"

namespace rstorch::optim {
namespace {

using config::Duration;
using config::Unit;

int64_t steps_of(const Duration& duration, const RunLength& run, std::string_view key) {
  if (duration.unit == Unit::steps || duration.unit == Unit::epochs) return in_steps(duration, run.steps_per_epoch);
  throw ArgumentError(format("lr_scheduler: {} is {}", key, duration.text()), "use steps or epochs");
}

// `warmup`, which every schedule has.
struct Warmup {
  Duration warmup = Duration::steps(0);
  static void describe(auto& field) {
    field("warmup", &Warmup::warmup, "The rate climbs to its value over this long, before the schedule proper.",
          config::units(Unit::steps, Unit::epochs), default_unit(Unit::epochs), non_negative);
  }
};

// Linear warm-up: step s of w uses lr (s + 1) / w, so that step w is the first at the full rate (Goyal et al. 2017).
// Then `decayed`.
class WarmedUp : public Schedule {
 public:
  WarmedUp(double lr, const RunLength& run, const Warmup& config)
      : lr_(lr), warmup_(steps_of(config.warmup, run, "warmup")) {}
  double lr(int64_t step) const final {
    return step < warmup_ ? lr_ * double(step + 1) / double(warmup_) : decayed(step);
  }

 protected:
  virtual double decayed(int64_t step) const = 0;
  double peak() const { return lr_; }
  int64_t warmup() const { return warmup_; }

 private:
  double lr_;
  int64_t warmup_;
};

class Constant final : public WarmedUp {
 public:
  using Config = Warmup;
  using WarmedUp::WarmedUp;

 private:
  double decayed(int64_t) const override { return peak(); }
};

// Schedules that come down from the end of the warm-up to T_max.
struct Descent : Warmup {
  double min_lr = 0;
  std::optional<Duration> T_max;
  static void describe(auto& field) {
    field("min_lr", &Descent::min_lr, "The rate at the end.", non_negative);
    field("T_max", &Descent::T_max, "When the end is reached; the end of the run if not given. Later the rate stays.",
          config::units(Unit::steps, Unit::epochs), default_unit(Unit::epochs), positive);
    Warmup::describe(field);
  }
};

class Descending : public WarmedUp {
 public:
  using Config = Descent;
  Descending(double lr, const RunLength& run, const Config& config)
      : WarmedUp(lr, run, config), min_lr_(config.min_lr), end_(end_of(run, config)) {
    if (end_ >= warmup()) return;
    throw ArgumentError(format("lr_scheduler: warm-up of {} steps in a schedule of {}", warmup(), end_),
                        "shorten `warmup`, or train longer");
  }

 protected:
  // From 0 at the end of the warm-up to 1 at the end.
  double progress(int64_t step) const { return step >= end_ ? 1 : double(step - warmup()) / double(end_ - warmup()); }
  double min_lr() const { return min_lr_; }

 private:
  static int64_t end_of(const RunLength& run, const Config& config) {
    if (config.T_max) return steps_of(*config.T_max, run, "T_max");
    if (run.total_steps) return *run.total_steps;
    throw ArgumentError("lr_scheduler: the run has no end in steps", "give `T_max`, or `max_epochs` or `max_steps`");
  }

  double min_lr_;
  int64_t end_;
};

class Cosine final : public Descending {
 public:
  using Descending::Descending;

 private:
  double decayed(int64_t step) const override {
    return min_lr() + (peak() - min_lr()) * (1 + std::cos(std::numbers::pi * progress(step))) / 2;
  }
};

class Linear final : public Descending {
 public:
  using Descending::Descending;

 private:
  double decayed(int64_t step) const override { return peak() + (min_lr() - peak()) * progress(step); }
};

class Step final : public WarmedUp {
 public:
  struct Config : Warmup {
    Duration step_size = Duration::epochs(1);
    double gamma = 0.1;
    static void describe(auto& field) {
      field("step_size", &Config::step_size, "How often the rate is multiplied, from the start of the run.", required,
            config::units(Unit::steps, Unit::epochs), default_unit(Unit::epochs), positive);
      field("gamma", &Config::gamma, "By what.", positive);
      Warmup::describe(field);
    }
  };
  Step(double lr, const RunLength& run, const Config& config)
      : WarmedUp(lr, run, config), step_size_(steps_of(config.step_size, run, "step_size")), gamma_(config.gamma) {}

 private:
  double decayed(int64_t step) const override { return peak() * std::pow(gamma_, double(step / step_size_)); }

  int64_t step_size_;
  double gamma_;
};

class MultiStep final : public WarmedUp {
 public:
  struct Config : Warmup {
    std::vector<Duration> milestones;
    double gamma = 0.1;
    static void describe(auto& field) {
      field("milestones", &Config::milestones, "When the rate is multiplied, from the start of the run.", required,
            non_empty, each(config::units(Unit::steps, Unit::epochs)), each(default_unit(Unit::epochs)),
            each(non_negative));
      field("gamma", &Config::gamma, "By what.", positive);
      Warmup::describe(field);
    }
  };
  MultiStep(double lr, const RunLength& run, const Config& config) : WarmedUp(lr, run, config), gamma_(config.gamma) {
    for (const Duration& milestone : config.milestones) milestones_.push_back(steps_of(milestone, run, "milestones"));
  }

 private:
  double decayed(int64_t step) const override {
    const auto passed =
        std::count_if(milestones_.begin(), milestones_.end(), [step](int64_t at) { return at <= step; });
    return peak() * std::pow(gamma_, double(passed));
  }

  std::vector<int64_t> milestones_;
  double gamma_;
};

}  // namespace

const ScheduleRegistry& schedules() {
  using R = ScheduleRegistry;
  static constexpr R::Entry table[] = {
      R::entry<Constant>("constant", "The same rate all along."),
      R::entry<Cosine>("cosine", "Half a cosine down to min_lr (Loshchilov & Hutter 2017)."),
      R::entry<Linear>("linear", "A straight line down to min_lr."),
      R::entry<MultiStep>("multistep", "Times gamma at each milestone."),
      R::entry<Step>("step", "Times gamma every step_size."),
  };
  static constexpr R registry("learning-rate schedule", table);
  return registry;
}

}  // namespace rstorch::optim
