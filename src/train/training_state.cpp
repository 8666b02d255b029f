#include "train/training_state.h"

#include "train/checkpoint.h"

namespace rstorch {

TrainingState read_training_state(const Checkpoint& checkpoint) {
  config::Report report;
  TrainingState state = config::read<TrainingState>(checkpoint.state(), report);
  if (report.ok()) return state;
  throw CheckpointError(format("{} does not fit this rstorch: {}", (checkpoint.folder() / "state.json").string(),
                               report.errors().front().message()));
}

}  // namespace rstorch
