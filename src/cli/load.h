// Config files as the commands take them.
#pragma once

#include <string>
#include <vector>

#include "train/experiment.h"

namespace rstorch::cli {

enum class Size { full, smoke };

struct LoadedConfig {
  Experiment experiment;
  std::string text;  // the file as given, and the overrides as comments
};

// Reads and checks a config. The run's name, where it has none, is the file's. Throws ConfigReport.
LoadedConfig load_config(const std::string& file, const std::vector<std::string>& overrides, Size size = Size::full);

}  // namespace rstorch::cli
