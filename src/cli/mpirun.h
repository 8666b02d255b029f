// Open MPI's mpirun: where it is, and how it is told to start ranks of this program.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "train/files.h"

namespace rstorch::cli {

// RSTORCH_MPIRUN, else $OPAL_PREFIX/bin/mpirun, else the first one in PATH.
std::optional<files::Path> find_mpirun();
// "Open MPI 4.1.4"; of another MPI its own first line; empty: it does not run.
std::string mpirun_version(const files::Path& mpirun);
// In the environment of ranks: how they were launched, "launch -n 4 --hosts a:2,b:2", for whoever says how to go on.
inline constexpr const char* kLaunchWords = "RSTORCH_LAUNCH_WORDS";

// mpirun passes on SIGUSR1, but no SIGTERM: the signal that the launcher got stands in a file, named in the environment
// of ranks. There is none on other machines than the launcher's.
inline constexpr const char* kSignalFile = "RSTORCH_LAUNCH_SIGNAL";
void note_signal(const std::string& name);
std::string noted_signal();  // empty: none was noted

inline constexpr std::string_view kMpirunFix =
    "Debian: apt-get install openmpi-bin; on a cluster: its module of Open MPI";

struct Host {
  std::string name;
  int slots = 1;
};
// "a:2,b": names with the ranks that each may have. Throws UsageError.
std::vector<Host> read_hosts(const std::string& text);

struct RankProgram {
  int ranks = 1;
  std::vector<Host> hosts;  // with slots for all ranks; empty: this machine, or those of the scheduler's allocation
  std::vector<std::string> command;  // program and arguments
};

// Whether ranks may run on other machines than this one.
bool on_several_machines(const RankProgram& program);

// The command line. It does not say where mpirun keeps its files and lets root start it: that is for the environment.
std::vector<std::string> mpirun_words(const files::Path& mpirun, const RankProgram& program);

using Environment = std::vector<std::pair<std::string, std::string>>;
// What mpirun refuses to run without.
Environment mpirun_environment();

}  // namespace rstorch::cli
