// What is known of a run before it starts: layers, shapes, parameters, work and sizes. Needs no data where the config
// states model.input.
#pragma once

#include <string>

#include "train/experiment.h"

namespace rstorch {

struct Plan {
  std::string unread;    // why the data could not be looked at; empty: model, loss and metrics fit it
  nn::BuiltModel model;  // on the meta device
  int64_t batch_size = 0;
  int64_t parameters = 0;
  int64_t flops = 0;             // of a forward pass of one sample
  int64_t activation_bytes = 0;  // of all outputs of one sample
  int64_t model_bytes = 0;       // files of a checkpoint
  int64_t trainer_bytes = 0;
};

// Throws ConfigReport, as training would; DataError where the data has to say the input's shape.
Plan make_plan(const Experiment& experiment);
// Work of one training step: backward takes twice the forward pass.
inline double step_flops(const Plan& plan) { return 3.0 * double(plan.flops) * double(plan.batch_size); }

std::string plan_text(const Plan& plan);
config::Value plan_value(const Plan& plan);

}  // namespace rstorch
