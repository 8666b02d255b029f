#include "cli/threads.h"

#include <algorithm>
#include <array>
#include <cerrno>  // program_invocation_short_name
#include <charconv>
#include <cstdlib>
#include <string_view>

#include <sys/prctl.h>
#include <unistd.h>

#include "base/error.h"

namespace rstorch::cli {
namespace {

constexpr int kMostThreads = 1024;

bool is_thread_count(std::string_view text) {
  while (text.starts_with(' ')) text.remove_prefix(1);
  while (text.ends_with(' ')) text.remove_suffix(1);
  int count = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  return error == std::errc() && end == text.data() + text.size() && count >= 1 && count <= kMostThreads;
}

}  // namespace

void check_thread_count() {
  const char* const given = std::getenv("OMP_NUM_THREADS");
  if (!given || !*given) return;
  // One number, or one for each level of nested parallelism.
  for (std::string_view rest = given;;) {
    const size_t comma = rest.find(',');
    if (!is_thread_count(rest.substr(0, comma))) {
      throw UsageError(format("OMP_NUM_THREADS is `{}`, wanted a number of threads from 1 to {}", given, kMostThreads),
                       "unset it to use all processors");
    }
    if (comma == rest.npos) return;
    rest.remove_prefix(comma + 1);
  }
}

void limit_spinning(char** argv) {
  // The others compute nothing and should not pay the 4 ms.
  constexpr std::array<std::string_view, 4> computing = {"train", "eval", "predict", "bench"};
  if (!argv[0] || !argv[1] || std::find(computing.begin(), computing.end(), argv[1]) == computing.end()) return;
  ::prctl(PR_SET_NAME, program_invocation_short_name);  // started anew below it is "exe", in ps and top
  if (std::getenv("GOMP_SPINCOUNT") || std::getenv("OMP_WAIT_POLICY")) return;
  // About 0.1 ms: longer than the gaps between the kernels of a step, shorter than a scheduler's time slice.
  setenv("GOMP_SPINCOUNT", "4000", 1);
  execv("/proc/self/exe", argv);  // returns only where there is no /proc; then threads spin as libgomp likes
}

}  // namespace rstorch::cli
