// SIGTERM, SIGINT and SIGUSR1 as a request to save and stop at the end of the step.
//
// A second SIGINT ends the process at once with 130. One object at a time; it restores the handlers it found.
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

  bool requested() const;
  std::string_view name() const;  // of the signal; empty: none came

 private:
  static constexpr std::array kSignals = {SIGTERM, SIGINT, SIGUSR1};
  std::array<struct sigaction, kSignals.size()> previous_;
};

}  // namespace rstorch
