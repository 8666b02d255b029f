// A fault that a test asks one rank to have: `rstorch train --inject kill:rank=1@step=50`.
#pragma once

#include <cstdint>
#include <string>

namespace rstorch {

struct Fault {
  enum class Kind {
    kill,   // SIGKILL
    stop,   // SIGSTOP: the process is there and does nothing
    hang,   // the training thread sleeps for ever, the others of the process live
    slow,   // 50 ms more in each step from here on
    error,  // as of a sample that cannot be read
  };

  // KIND:rank=R@step=S. Throws UsageError.
  static Fault parse(const std::string& text);
  // Does what it says if this is the rank and the step.
  void strike(int rank, int64_t step) const;

  Kind kind = Kind::kill;
  int rank = 0;
  int64_t step = 1;  // the first is 1
};

}  // namespace rstorch
