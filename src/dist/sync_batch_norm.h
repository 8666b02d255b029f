// Batch normalisation over the batch of all ranks.
#pragma once

#include "dist/process_group.h"
#include "nn/module.h"

namespace rstorch::nn {

// As PyTorch's: https://pytorch.org/docs/stable/generated/torch.nn.SyncBatchNorm.html. Here every BatchNorm can be one.
struct SyncBatchNorm {
  // From now on each BatchNorm of the model normalises, in training, over the samples that all ranks have in a pass.
  // Without a group: the default one of distributed::init_process_group. The group must outlive the model's use.
  static void convert_sync_batchnorm(Module& model, dist::ProcessGroup* process_group = nullptr);
};

}  // namespace rstorch::nn
