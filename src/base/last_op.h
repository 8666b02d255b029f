// The operation that a thread began last: what an error from below it names, out of memory or a wait where none may be.
#pragma once

#include <string_view>

namespace rstorch {

// A literal, or of a node of the graph that lives on.
constinit inline thread_local std::string_view last_op = "none";

}  // namespace rstorch
