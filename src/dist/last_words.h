// How a rank ends whose main thread cannot do it: it hangs in a collective, or nobody catches what it throws.
#pragma once

#include <string>

namespace rstorch::dist {

// To stderr, as far as somebody reads it.
void write_last_words(const std::string& text);
// The same, and the end: without MPI's farewell, which would wait for all ranks.
[[noreturn]] void print_and_exit(int exit_code, const std::string& text);

}  // namespace rstorch::dist
