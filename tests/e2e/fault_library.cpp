// The faults of the unit tests for a whole program, by LD_PRELOAD.
#include "../unit/fault_injection.h"

namespace {
[[gnu::constructor]] void begin() { rstorch::faults::read_environment(); }
}  // namespace
