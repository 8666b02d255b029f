// mpirun as a child that is looked after: signals become a request to save and end, and nothing of it is left behind.
#pragma once

#include <array>
#include <chrono>
#include <csignal>
#include <optional>
#include <string>
#include <vector>

#include <sys/types.h>

#include "base/descriptor.h"
#include "cli/relay.h"

namespace rstorch::cli {

// How a job ended.
struct Ending {
  int code = 0;  // as a shell shows it: 128 + N where signal N ended it
  double seconds = 0;
  bool had_to_be_killed = false;  // it did not see to the end of its ranks
};

// SIGTERM, SIGINT, SIGUSR1 and SIGHUP to this process ask the job's ranks to save and end: they get SIGUSR1. A second
// SIGINT within 10 s, or SIGTERM again after 30 s, kills them. SIGHUP stays ignored where it was (nohup). One object at
// a time, in a process of one thread.
class Supervisor {
 public:
  Supervisor();
  ~Supervisor();
  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;

  // Runs a command to its end, in a session of its own: a terminal's Ctrl-C reaches this process alone. It gets SIGTERM
  // when this process dies, however it dies, and is killed 5 s later. It is killed too where it outlives its ranks on
  // this machine by 5 s, or the first of them by 30 s. What is left of its session at the end is killed.
  Ending run(const std::vector<std::string>& words);
  // Waits, but not on when a signal asks to stop.
  void pause(std::chrono::seconds time);

  const std::string& stop_reason() const { return stop_reason_; }  // "SIGTERM"; empty: nothing came
  const std::string& kill_reason() const { return kill_reason_; }
  // Why stdout did not take all that jobs wrote: an errno; 0: it did.
  int output_error() const { return output_error_; }

 private:
  using Clock = std::chrono::steady_clock;

  void wait_for_signal(std::chrono::milliseconds at_most);
  void on_stop_signal(int signal);
  void tend(pid_t job);

  sigset_t previous_;
  sigset_t awaited_;
  Descriptor signals_;          // those that came
  std::optional<Relay> relay_;  // of the running job
  int output_error_ = 0;
  std::string stop_reason_, kill_reason_;
  std::optional<Clock::time_point> last_interrupt_, first_terminate_;
  bool asked_ = false;                             // the ranks of the running job
  bool had_to_be_killed_ = false;                  // the running job
  size_t most_ranks_ = 0;                          // of this machine, at once
  std::optional<Clock::time_point> fewer_since_;   // some of them have ended
  std::optional<Clock::time_point> alone_since_;   // they have all ended
  std::optional<Clock::time_point> kill_hard_at_;  // it was told to end at once
};

}  // namespace rstorch::cli
