// SIGTERM, SIGINT, SIGUSR1 and SIGHUP as a request to save and stop at the end of the step. SIGHUP comes when the
// terminal goes, and stays ignored where it was (nohup).
//
// A second SIGINT ends the process at once with 130, and so does a SIGTERM 30 s after another one, with 143: the step
// may never end. One object at a time; it restores the handlers it found.
#pragma once

#include <array>
#include <csignal>
#include <string_view>

namespace rstorch {

class StopSignals {
 public:
  StopSignals();
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  // For a rank, whose launcher may send SIGUSR1 before it has come to train: from now on that waits for an object,
  // which then finds it requested.
  static void expect_usr1();

  bool requested() const;
  std::string_view name() const;  // of the signal; empty: none came

 private:
  static constexpr std::array kSignals = {SIGTERM, SIGINT, SIGUSR1, SIGHUP};
  std::array<struct sigaction, kSignals.size()> previous_;
};

}  // namespace rstorch
