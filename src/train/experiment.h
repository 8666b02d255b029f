// A checked config: every section read by its layer, all shapes worked out where the config states the input, and
// nothing opened or constructed yet.
#pragma once

#include <string>
#include <vector>

#include "config/report.h"
#include "data/data.h"
#include "nn/builder.h"
#include "nn/losses.h"
#include "optim/optimizers.h"
#include "optim/schedule.h"
#include "train/expectations.h"
#include "train/metric.h"
#include "train/run_config.h"

namespace rstorch {

struct Experiment {
  // `root` is what config::load gave. Errors go to the report; what comes back then must not be used.
  static Experiment read(const config::Value& root, config::Report& report);

  RunConfig config;
  data::DataRecipe data;
  nn::LossRegistry::Recipe loss;
  std::vector<MetricRegistry::Recipe> metrics;
  optim::OptimizerSpec optimizer;
  optim::ScheduleRegistry::Recipe schedule;
  std::vector<Expectation> expectations;
  config::Value root;      // as given
  config::Value resolved;  // every key, with origins

  uint64_t seed() const { return uint64_t(config.seed); }
  data::LoaderOptions train_options(int rank = 0, int world = 1) const;
  // The model for samples of this kind, on this device. Throws ConfigReport.
  nn::BuiltModel build_model(const data::SampleSpec& spec, Device device) const;
  // Its shapes alone. Without a spec, model.input says what goes in.
  nn::BuiltModel plan_model(const data::SampleSpec* spec) const;
  // The device that the config asks for; of several GPUs, where it names none, the one of this number (modulo how many
  // there are). `auto` says in one line why it takes the CPU. Throws ConfigReport.
  Device choose_device(int number = 0) const;
};

// The same valid config in a size that runs in seconds on a CPU: small batches, frequent validation, no expectations.
// Goes with RunLimits::smoke().
config::Value smoke_size(config::Value root);

}  // namespace rstorch
