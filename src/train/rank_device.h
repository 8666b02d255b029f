// The device that this rank works on.
#pragma once

#include "dist/process_group.h"
#include "train/experiment.h"

namespace rstorch {

// Where there are several GPUs and the config names none, each rank of a host has its own. Makes ready what ranks
// exchange CUDA tensors through, as `distributed.backend` says, and says in one line what and why; from now on ranks
// wait for each other as long as `distributed.timeout` says. On all ranks at once. Throws ConfigReport for what this
// machine does not have.
Device prepare_device(const Experiment& experiment, dist::ProcessGroup& group);

}  // namespace rstorch
