// Passes on what a job writes to this process's own stdout and stderr, so that a place that takes no more is noticed as
// it is without a launcher: a full one is an error of stdout, and a reader that leaves is none and ends nothing.
#pragma once

#include <array>
#include <string>
#include <vector>

#include <poll.h>

#include "base/descriptor.h"

namespace rstorch::cli {

class Relay {
 public:
  Relay();  // throws DistError
  // In the job: its stdout and stderr lead here. Only calls that are safe after fork().
  void redirect() const;
  // In this process, after the fork: the end comes when the job's last process has closed its side.
  void close_jobs_side();

  // What to wait for until there is something to do.
  void add_to(std::vector<pollfd>& all) const;
  // Does what can be done at once: nothing waits for a reader that does not read.
  void pass_on();
  bool all_passed_on() const;                             // of what was there at the last pass_on()
  int stdout_error() const { return streams_[0].error; }  // an errno; 0: it took all

 private:
  struct Stream {
    int to;
    Descriptor from{}, jobs_side{};
    std::string unsent{};
    bool empty = false;
    int error = 0;

    void read();
    void write();
  };
  std::array<Stream, 2> streams_;
};

}  // namespace rstorch::cli
