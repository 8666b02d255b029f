// `rstorch train` as one call: from a checked config to a run folder with a trained model.
#pragma once

#include <string>

#include "train/trainer.h"

namespace rstorch {

struct TrainRequest {
  const Experiment& experiment;
  std::string config_text;  // as given, for the run folder
  RunLimits limits;
};

struct TrainResult {
  Trainer::Outcome outcome = Trainer::Outcome::finished;
  bool nothing_to_do = false;       // the run that was to be continued is finished
  std::vector<std::string> longer;  // and these overrides let it go on, for as long again
  files::Path run;
  std::string stop_reason;
  int64_t step = 0;
  double seconds = 0;
  Metrics metrics;  // the latest of each name
};

// Says in the log what it does. Throws Error; ExpectationError after a run that is complete in all other respects.
// Each rank of the group calls it with the same request; rank 0 writes.
TrainResult train(const TrainRequest& request, dist::ProcessGroup& group);

// "1437 samples to train on, 360 to validate; 20234 parameters, cpu, 2 threads"
std::string describe_run(const data::OpenedData& data, const nn::Module& model, Device device);

// Opens the data of an experiment; with a limit, the first samples of each dataset only.
data::OpenedData open_data(const Experiment& experiment, const RunLimits& limits);

}  // namespace rstorch
