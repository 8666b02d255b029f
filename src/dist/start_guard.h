// Ends a rank whose group does not come together.
//
// MPI waits for ever in its start for a rank that was stopped, died or is no program with MPI in it, and the watchdog
// begins only after that. So a thread bounds the time from here to the end of the object's life: it prints one error
// and ends the process with exit code 7. Rank 0 speaks; where that is missing, one rank of each machine, 5 s later.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

namespace rstorch::dist {

class StartGuard {
 public:
  // Time in which this process is suspended does not count. A limit of 0: none.
  StartGuard(int rank, int size, std::chrono::milliseconds limit);
  ~StartGuard();
  StartGuard(const StartGuard&) = delete;
  StartGuard& operator=(const StartGuard&) = delete;

 private:
  bool together_within(std::chrono::milliseconds time);
  void watch(int rank, int size, std::chrono::milliseconds limit);

  std::mutex mutex_;
  std::condition_variable changed_;
  bool together_ = false;
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace rstorch::dist
