#include "cli/thread_waiting.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <string_view>

#include <unistd.h>

namespace rstorch::cli {

void limit_spinning(char** argv) {
  // The others compute nothing and should not pay the 4 ms.
  constexpr std::array<std::string_view, 4> computing = {"train", "eval", "predict", "bench"};
  if (!argv[0] || !argv[1] || std::find(computing.begin(), computing.end(), argv[1]) == computing.end()) return;
  if (std::getenv("GOMP_SPINCOUNT") || std::getenv("OMP_WAIT_POLICY")) return;
  // About 0.1 ms: longer than the gaps between the kernels of a step, shorter than a scheduler's time slice.
  setenv("GOMP_SPINCOUNT", "4000", 1);
  execv("/proc/self/exe", argv);  // returns only where there is no /proc; then threads spin as libgomp likes
}

}  // namespace rstorch::cli
