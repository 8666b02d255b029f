#include "train/fault.h"

#include <chrono>
#include <csignal>
#include <cstdio>
#include <thread>

#include "base/error.h"

namespace rstorch {

Fault Fault::parse(const std::string& text) {
  static constexpr std::pair<std::string_view, Kind> kKinds[] = {
      {"kill", Kind::kill}, {"stop", Kind::stop}, {"hang", Kind::hang}, {"slow", Kind::slow}, {"error", Kind::error}};
  Fault fault;
  char name[8] = {};
  int end = 0;
  long long step = 0;
  if (std::sscanf(text.c_str(), "%7[a-z]:rank=%d@step=%lld%n", name, &fault.rank, &step, &end) == 3 &&
      size_t(end) == text.size() && fault.rank >= 0 && step > 0) {
    fault.step = step;
    for (const auto& [known, kind] : kKinds) {
      if (known != name) continue;
      fault.kind = kind;
      return fault;
    }
  }
  throw UsageError(format("--inject: got `{}`, wanted KIND:rank=R@step=S with kill, stop, hang, slow or error", text),
                   "for example --inject kill:rank=1@step=50");
}

void Fault::strike(int rank_here, int64_t step_here) const {
  if (rank != rank_here || step_here < step || (step_here > step && kind != Kind::slow)) return;
  switch (kind) {
    case Kind::kill:
      std::raise(SIGKILL);
      return;
    case Kind::stop:
      std::raise(SIGSTOP);
      return;
    case Kind::hang:
      for (;;) std::this_thread::sleep_for(std::chrono::hours(1));
    case Kind::slow:
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
      return;
    case Kind::error:
      throw DataError(format("sample 0 cannot be read (--inject, rank {}, step {})", rank, step), "", 4);
  }
}

}  // namespace rstorch
