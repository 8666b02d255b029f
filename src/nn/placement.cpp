#include "nn/placement.h"

namespace rstorch::nn {
namespace {

thread_local Placement current;

}  // namespace

const Placement& current_placement() { return current; }
PlacementScope::PlacementScope(const Placement& placement) : previous_(current) { current = placement; }
PlacementScope::~PlacementScope() { current = previous_; }

}  // namespace rstorch::nn
