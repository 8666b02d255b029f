// Reading JSON. Writing is config::to_json.
#pragma once

#include <string_view>

#include <nlohmann/json_fwd.hpp>

#include "config/value.h"

namespace rstorch {

// Both throw CheckpointError naming `what` for text that is not JSON, has a key twice, or is nested deeper than 64
// levels.
nlohmann::ordered_json parse_json_tree(std::string_view text, std::string_view what);
config::Value parse_json(std::string_view text, std::string_view what);

}  // namespace rstorch
