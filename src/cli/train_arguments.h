// What `train` is told on the command line: by a user, and by launch, which starts it on several ranks.
#pragma once

#include <string>
#include <vector>

#include "cli/command.h"
#include "cli/load.h"

namespace rstorch::cli {

struct TrainArguments {
  std::string config;
  std::vector<std::string> overrides;
  bool resume = false;
  bool smoke = false;
  bool dry_run = false;
  int simulate_ranks = 0;
  std::string inject;

  Size size() const { return smoke ? Size::smoke : Size::full; }
};

// The command `train` without what it does.
Command add_train_command(const Command& program, TrainArguments& arguments);

}  // namespace rstorch::cli
