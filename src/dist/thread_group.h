// Ranks that are threads of one process: for tests, and for trying a config with many ranks where there is one machine.
#pragma once

#include <functional>

#include "dist/process_group.h"

namespace rstorch::dist {

// Runs rank(group) on `size` threads, each with its group; returns when all are through. Each has its share of the
// OpenMP threads. Where one throws, the others' collectives throw too, and the first error is thrown here.
void run_ranks(int size, const std::function<void(ProcessGroup& group)>& rank);

}  // namespace rstorch::dist
