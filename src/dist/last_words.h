// How a rank ends whose main thread cannot do it: it hangs in a collective, or nobody catches what it throws.
#pragma once

#include <string>

namespace rstorch::dist {

// To stderr, as far as somebody reads it.
void write_last_words(const std::string& text);
// The same, and the end: without MPI's farewell, which would wait for all ranks. Without a text another rank has it,
// and is given the time to say it: mpirun ends all ranks once one has ended.
[[noreturn]] void print_and_exit(int exit_code, const std::string& text);

// After a rank has said why all end, in another way than the above, and before it ends: no other need say it. The
// launcher finds a note, the file that this variable names. The ranks of this machine find a claim of the Watchdog
// taken, for which this waits a moment.
inline constexpr const char* kLastWordsNote = "RSTORCH_LAST_WORDS_NOTE";
void after_last_words();

// From now on a RankLost or PeerFailed that nobody catches ends the process so, with its exit code. All else goes to
// the handler that there was before.
void end_in_order_when_uncaught();

}  // namespace rstorch::dist
