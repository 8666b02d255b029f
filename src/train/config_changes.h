// In which keys two resolved configs of a run differ.
#pragma once

#include <string>
#include <vector>

#include "config/value.h"

namespace rstorch {

// Paths of keys whose values differ, or that only one of the two has. Where a run goes and what it expects may differ:
// run, checkpoint, logging, distributed, expect, trainer.max_time.
std::vector<std::string> config_changes(const config::Value& before, const config::Value& now);

}  // namespace rstorch
