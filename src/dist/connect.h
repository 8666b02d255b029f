// How this process learns that it is one of several ranks.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "dist/process_group.h"
#include "dist/watchdog.h"

namespace rstorch::dist {

// What a launcher has put into the environment.
struct Launch {
  std::string launcher;   // "mpirun", "a PMI launcher", "torchrun", "srun"
  std::string variables;  // "RANK and WORLD_SIZE"
  int rank = 0;
  int size = 1;
};

// Nothing for a process on its own: one that no launcher started, the only rank, or a shell inside an allocation. In
// order: Open MPI's variables, PMI's, torchrun's, those of a SLURM step. Throws UsageError for numbers that make no
// sense.
std::optional<Launch> find_launch();

// What the MPI module works with: "Open MPI 4.1.4". Opens it. Throws DistError where that cannot be done.
std::string mpi_library();

struct Connected {
  GroupPtr group;
  std::string how;  // one line; empty for a process on its own
};
// The group that the launcher made; without one, the group of this process alone. Opens MPI where there is one. Once in
// a process. Throws UsageError where what the environment says is not so; DistError, RankLost where one is missing,
// where the ranks do not find each other. Where they have not come together within RSTORCH_START_TIMEOUT seconds (120;
// 0: no limit), the process ends (dist/start_guard.h).
Connected connect();

// Has a watchdog look after a group, as connect() does for its own. On all ranks at once. Throws DistError.
void start_watchdog(ProcessGroup& group, std::chrono::milliseconds timeout = Watchdog::Options().timeout);

}  // namespace rstorch::dist
