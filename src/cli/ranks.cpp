#include "cli/ranks.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <new>
#include <thread>

#include <unistd.h>

#include "base/log.h"
#include "cli/command.h"
#include "dist/connect.h"
#include "dist/last_words.h"
#include "dist/thread_group.h"
#include "train/agreement.h"

namespace rstorch::cli {
namespace {

// How this rank's failure ends: what there is to print here, and the exit code of all.
using Ending = dist::Watchdog::Ending;

Ending tell_others(dist::ProcessGroup& group, int exit_code, const std::string& report) {
  return group.watchdog() ? group.watchdog()->fail(exit_code, report) : Ending{report, exit_code};
}

template <class Lost>
Ending as_told(const Lost& lost) {
  return {lost.to_report() ? lost.report() : std::string(), int(lost.exit_code())};
}

// Without MPI's farewell, which would wait for all ranks. Once one rank has ended mpirun ends the others: those that
// have nothing to say wait for the one that has, whose training thread may hang and need the watchdog to speak.
[[noreturn]] void end(const Ending& ending) {
  if (ending.text.empty()) std::this_thread::sleep_for(std::chrono::seconds(2));
  if (!ending.text.empty()) {
    show_error(ending.text);
    dist::after_last_words();
  }
  logging::flush();
  std::fflush(nullptr);
  _exit(ending.exit_code);
}

ExitCode run_rank(dist::ProcessGroup& group, const std::string& name,
                  const std::function<ExitCode(dist::ProcessGroup& group)>& command) {
  try {
    agree_on_command(group, name);
    const ExitCode code = command(group);
    group.leave();
    return code;
  } catch (const dist::RankLost& lost) {
    end(as_told(lost));
  } catch (const dist::PeerFailed& failed) {
    end(as_told(failed));
  } catch (const Error& error) {
    end(tell_others(group, int(error.exit_code()), error.report()));
  } catch (const std::bad_alloc&) {
    end(tell_others(group, int(ExitCode::out_of_memory), "error[E0501]: out of memory"));
  } catch (const std::exception& error) {
    end(tell_others(group, int(ExitCode::internal), format("error[E0100]: internal error: {}", error.what())));
  }
}

dist::Connected connect_or_end() {
  try {
    return dist::connect();
  } catch (const dist::RankLost& lost) {
    end(as_told(lost));
  }
}

ExitCode run_threads(const std::string& name, int ranks,
                     const std::function<ExitCode(dist::ProcessGroup& group)>& command) {
  ExitCode code = ExitCode::internal;
  dist::run_ranks(ranks, [&](dist::ProcessGroup& group) {
    if (!group.is_root()) logging::mute_thread();
    dist::start_watchdog(group);
    const ExitCode mine = run_rank(group, name, command);
    if (group.is_root()) code = mine;
  });
  return code;
}

}  // namespace

void check_ranks(const std::string& command) {
  if (command == "doctor" || std::ranges::find(kCommandsOfRanks, command) != kCommandsOfRanks.end()) return;
  const std::optional<dist::Launch> launch = dist::find_launch();
  if (!launch) return;
  throw UsageError(format("{} is for one process, and this is rank {} of {} ({})", command, launch->rank, launch->size,
                          launch->launcher),
                   format("start it alone; several ranks can run {}", join(kCommandsOfRanks, ", ")));
}

void let_rank0_speak() try {
  const std::optional<dist::Launch> launch = dist::find_launch();
  if (launch && launch->rank > 0) std::this_thread::sleep_for(std::chrono::seconds(5));
} catch (const UsageError&) {
  // The environment is what is wrong, and nobody knows which rank this is.
}

ExitCode with_ranks(const std::string& name, int simulated,
                    const std::function<ExitCode(dist::ProcessGroup& group)>& command) {
  if (simulated > 0 && dist::find_launch()) {
    throw UsageError("--simulate-ranks makes ranks of one process, and a launcher has started several",
                     "use one of them");
  }
  if (simulated > 0) return run_threads(name, simulated, command);
  const dist::Connected connected = connect_or_end();
  dist::ProcessGroup& group = *connected.group;
  if (group.size() == 1) return command(group);
  if (!group.is_root()) logging::mute_thread();
  logging::info(connected.how);
  return run_rank(group, name, command);
}

}  // namespace rstorch::cli
