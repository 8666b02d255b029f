#pragma once

namespace rstorch::cli {

// Throws UsageError where OMP_NUM_THREADS is set to what libgomp would ignore, or could not start.
void check_thread_count();

// Sees to it that idle threads of the OpenMP pool sleep soon instead of spinning for milliseconds: with as many threads
// as cores and another process on the machine, steps were ten times slower or worse. libgomp takes the limit from the
// environment alone, when it is loaded, so the program starts itself anew in the same process, once. A user's own
// GOMP_SPINCOUNT or OMP_WAIT_POLICY stays. `argv` as main() has it.
void limit_spinning(char** argv);

}  // namespace rstorch::cli
