// The ranks that a command runs on.
#pragma once

#include <array>
#include <functional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "dist/process_group.h"

namespace rstorch::cli {

// Those that several ranks can run together.
inline constexpr std::array<std::string_view, 3> kCommandsOfRanks = {"train", "eval", "bench"};
// Throws UsageError where a launcher has started several of another one. Not of doctor: it is how to see what each has.
void check_ranks(const std::string& command);

// Called before an error is shown that comes before ranks know each other, and most often on all of them: where rank 0
// fails too, its launcher ends this rank here, and the error is shown once.
void let_rank0_speak();

// Runs `command` as the rank of a group that the environment makes this process; with `simulated` above 0, as so many
// ranks that are threads. Rank 0 alone speaks. Throws what goes wrong on any rank. `name`: "train", the same on all.
ExitCode with_ranks(const std::string& name, int simulated,
                    const std::function<ExitCode(dist::ProcessGroup& group)>& command);

}  // namespace rstorch::cli
