// The ranks that a command runs on.
#pragma once

#include <functional>

#include "base/error.h"
#include "dist/process_group.h"

namespace rstorch::cli {

// Runs `command` as the rank of a group that the environment makes this process; with `simulated` above 0, as so many
// ranks that are threads. Rank 0 alone speaks. Throws what goes wrong on any rank. `name`: "train", the same on all.
ExitCode with_ranks(const std::string& name, int simulated,
                    const std::function<ExitCode(dist::ProcessGroup& group)>& command);

}  // namespace rstorch::cli
