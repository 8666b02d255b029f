// Private to src/config: `vars` and `${...}`.
#pragma once

#include "config/load.h"

namespace rstorch::config {

// Puts `vars` and environment variables in place of their `${...}` and drops `vars`. In deferred subtrees a bare
// `${name}` is left alone; elsewhere it is an error. `$${` stands for `${` itself.
Value resolve_variables(Value root, Report& report, const LoadOptions& options);

}  // namespace rstorch::config
