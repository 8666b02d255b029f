#include "dist/connect.h"

#include <charconv>
#include <csignal>
#include <cstdlib>
#include <string_view>
#include <utility>

#include <dlfcn.h>
#include <sys/prctl.h>

#include "base/error.h"
#include "base/module_file.h"
#include "base/version.h"
#include "dist/mpi/module.h"
#include "dist/start_guard.h"

namespace rstorch::dist {
namespace {

constexpr const char* kModuleFile = "rstorch_mpi.so";

struct Variables {
  const char* launcher;
  const char* rank;
  const char* size;
};
constexpr Variables kLaunchers[] = {
    {"mpirun", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"},
    {"a PMI launcher", "PMI_RANK", "PMI_SIZE"},
    {"torchrun", "RANK", "WORLD_SIZE"},
    {"srun", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS"},  // of the step: an allocation with a shell in it has one task
};

// Nothing is lost: another start of the same would end so too.
UsageError wrong_start(const std::string& message, const std::string& hint) { return UsageError(message, hint, 11); }

std::optional<int> number(const char* variable) {
  const char* const text = std::getenv(variable);
  if (!text || !*text) return {};
  const std::string_view digits = text;
  int value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error == std::errc() && end == digits.data() + digits.size() && value >= 0) return value;
  throw wrong_start(format("{} is `{}`, wanted a number from 0", variable, text), "unset it, or start with mpirun");
}

const MpiModule& open_module() {
  const std::string path = module_path(kModuleFile, "RSTORCH_MPI_MODULE", "src/dist/mpi");
  // RTLD_GLOBAL: MPI opens parts of its own, which look for its symbols. Never closed.
  void* const library = dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL);
  if (library == nullptr) {
    const char* const reason = dlerror();
    throw DistError(format("{} cannot be opened: {}", kModuleFile, reason ? reason : "unknown reason"),
                    "it is part of a build that found MPI (Debian: libopenmpi-dev), and needs MPI's libraries to run",
                    5);
  }
  using Entry = const MpiModule* (*)();
  const auto entry = reinterpret_cast<Entry>(dlsym(library, "rstorch_mpi_module"));
  if (entry == nullptr) throw DistError(format("{} is not rstorch's MPI module: it has no entry point", path), "", 5);
  const MpiModule& table = *entry();
  if (std::string_view(table.version) != kVersion) {
    throw DistError(format("{} is version {}, the program is {}", path, table.version, kVersion), "", 5);
  }
  return table;
}

std::string alone_hint(const Launch& launch) {
  return format("unset {} where this process is to be on its own", launch.variables);
}

const MpiModule& open_module_for(const Launch& launch) {
  try {
    return open_module();
  } catch (const DistError& error) {
    throw wrong_start(format("{} say that this process is rank {} of {}, but {}", launch.variables, launch.rank,
                             launch.size, error.what()),
                      format("{}{}{}", error.hint(), error.hint().empty() ? "" : "; ", alone_hint(launch)));
  }
}

// Honest starts are slow: name servers that do not answer cost half a minute, programs that hundreds of machines read
// from one file server more.
std::chrono::seconds start_timeout() {
  constexpr int kDefault = 120;
  return std::chrono::seconds(number("RSTORCH_START_TIMEOUT").value_or(kDefault));
}

}  // namespace

std::optional<Launch> find_launch() {
  for (const Variables& names : kLaunchers) {
    const std::optional<int> rank = number(names.rank), size = number(names.size);
    if (!rank || !size) continue;
    if (*rank >= *size) {
      throw wrong_start(format("{} is {}, but {} is {}", names.rank, *rank, names.size, *size),
                        "ranks are numbered from 0: unset both, or start with mpirun");
    }
    if (*size == 1) return {};
    return Launch{names.launcher, format("{} and {}", names.rank, names.size), *rank, *size};
  }
  return {};
}

std::string mpi_library() { return open_module().library(); }

Connected connect() {
  const std::optional<Launch> launch = find_launch();
  if (!launch) return {single(), {}};
  static bool joined = false;  // MPI cannot be started again
  if (std::exchange(joined, true)) throw DistError("this process has joined its group before, and can once only");
  prctl(PR_SET_PDEATHSIG, SIGKILL);  // no orphan trains on when the launcher is gone
  const std::chrono::seconds limit = start_timeout();
  const StartGuard guard(launch->rank, launch->size, limit);
  const MpiModule& mpi = open_module_for(*launch);
  GroupPtr group = mpi.start();
  if (group->size() != launch->size || group->rank() != launch->rank) {
    throw wrong_start(
        format("{} say that this process is rank {} of {}, {} that it is rank {} of {}", launch->variables,
               launch->rank, launch->size, mpi.library(), group->rank(), group->size()),
        format("start ranks with `rstorch launch` or with the mpirun of this MPI; {}", alone_hint(*launch)));
  }
  start_watchdog(*group, limit.count() > 0 ? limit : Watchdog::Options().timeout);  // until the program says its own
  return {std::move(group),
          format("ranks: {}, over MPI ({}, started by {})", launch->size, mpi.library(), launch->launcher)};
}

void start_watchdog(ProcessGroup& group, std::chrono::milliseconds timeout) {
  Watchdog::Options options;
  options.timeout = timeout;
  options.rank = group.rank();
  options.size = group.size();
  group.watch(std::make_unique<Watchdog>(
      options, [&](const std::string& text) { return group.broadcast_text(text, "where rank 0 is"); }));
}

}  // namespace rstorch::dist
