// The program's log: one line per event, on stderr and, during a run, in the run folder's train.log.
#pragma once

#include <string>
#include <string_view>

namespace rstorch::logging {

enum class Level { debug, info, warning, error };

// Messages below this level are dropped. Default: info.
void set_level(Level level);
// Adds a file that receives every message of level info and above, with a time stamp. Appends; creates the file.
// Throws CheckpointError where it cannot be opened. An empty path closes it. A full disk costs lines of it and no more:
// a warning on stderr says so once.
void set_file(const std::string& path);
// Switches the copy on stderr on or off (progress bars own the terminal while they run).
void set_stderr(bool enabled);

// Of several ranks one speaks: from here on this thread's messages below error are dropped.
void mute_thread();

void write(Level level, std::string_view message);
inline void debug(std::string_view message) { write(Level::debug, message); }
inline void info(std::string_view message) { write(Level::info, message); }
inline void warning(std::string_view message) { write(Level::warning, message); }
inline void error(std::string_view message) { write(Level::error, message); }
void flush();

}  // namespace rstorch::logging
