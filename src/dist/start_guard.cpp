#include "dist/start_guard.h"

#include <algorithm>

#include <unistd.h>

#include "base/quiet_thread.h"
#include "dist/group_watch.h"
#include "dist/last_words.h"
#include "dist/watchdog.h"

namespace rstorch::dist {
namespace {

constexpr milliseconds kSlice{100};
constexpr milliseconds kBehindRank0{5000};  // mpirun ends the others once rank 0 has ended, which takes it a second
constexpr milliseconds kHoldTheWord{2000};  // until the other ranks of the machine have found it taken

RankLost not_together(int rank, int size, milliseconds limit) {
  return {
      format("rank {} of {} (process {} on {}) waits in vain for the other ranks to start: not all have come to MPI "
             "within {}; one was stopped, died, hangs before, or is another program",
             rank, size, ::getpid(), host_name(), seconds_text(limit)),
      "`ps -eo pid,stat,args` shows on each machine what became of its ranks; RSTORCH_START_TIMEOUT=SECONDS waits "
      "longer for slow ones",
      true};
}

}  // namespace

StartGuard::StartGuard(int rank, int size, milliseconds limit) {
  if (limit.count() > 0) thread_ = quiet_thread([=, this] { watch(rank, size, limit); });
}

StartGuard::~StartGuard() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    together_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

// In slices: of one that a suspended process slept through no more than its length counts.
bool StartGuard::together_within(milliseconds time) {
  std::unique_lock lock(mutex_);
  for (; time.count() > 0; time -= kSlice) {
    if (changed_.wait_for(lock, std::min(kSlice, time), [this] { return together_; })) return true;
  }
  return false;
}

void StartGuard::watch(int rank, int size, milliseconds limit) {
  if (together_within(limit + (rank == 0 ? milliseconds(0) : kBehindRank0))) return;
  // The ranks of a machine are children of one launcher.
  const Descriptor word = claim(format("rstorch-start-{}", ::getppid()));
  if (word.is_open()) write_last_words(not_together(rank, size, limit).report());
  if (rank != 0) std::this_thread::sleep_for(kHoldTheWord);
  ::_exit(int(ExitCode::distributed));
}

}  // namespace rstorch::dist
