// Which GPU each rank works on, and whether the ranks can exchange what is on it over NCCL.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "dist/process_group.h"

namespace rstorch::dist {

// This rank's number among those of its host: the GPUs of a host are dealt out by it. On all ranks at once.
int number_on_host(ProcessGroup& group);

struct RankPlace {
  std::string host;
  std::string gpu;      // its bus id; empty on the CPU
  std::string no_nccl;  // why NCCL cannot be used there; empty where it can
};
// Of all ranks, in their order. On all ranks at once, each with its device.
std::vector<RankPlace> gather_places(ProcessGroup& group, Device device);

// Empty where NCCL can serve ranks in these places: it wants a GPU for each.
std::string why_not_nccl(const std::vector<RankPlace>& places);

// From now on the group's CUDA tensors go over NCCL. On all ranks at once, where why_not_nccl() is empty. Throws
// DistError where the ranks are not connected in time. Returns what serves them, "NCCL 2.28.9".
std::string attach_nccl(ProcessGroup& group, Device device, std::chrono::milliseconds timeout);

}  // namespace rstorch::dist
