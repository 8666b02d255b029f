#include "cli/ranks.h"

#include "base/log.h"
#include "dist/connect.h"
#include "dist/thread_group.h"

namespace rstorch::cli {

ExitCode with_ranks(int simulated, const std::function<ExitCode(dist::ProcessGroup& group)>& command) {
  if (simulated == 0) {
    const dist::Connected connected = dist::connect();
    dist::ProcessGroup& group = *connected.group;
    if (!group.is_root()) logging::mute_thread();
    if (!connected.how.empty()) logging::info(connected.how);
    const ExitCode code = command(group);
    group.leave();
    return code;
  }
  ExitCode code = ExitCode::internal;
  dist::run_ranks(simulated, [&](dist::ProcessGroup& group) {
    if (!group.is_root()) logging::mute_thread();
    const ExitCode mine = command(group);
    if (group.is_root()) code = mine;
  });
  return code;
}

}  // namespace rstorch::cli
