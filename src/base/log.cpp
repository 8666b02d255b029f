#include "base/log.h"

#include <utility>

#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include "base/error.h"

namespace rstorch::logging {
namespace {

spdlog::level::level_enum spd(Level level) {
  switch (level) {
    case Level::debug:
      return spdlog::level::debug;
    case Level::info:
      return spdlog::level::info;
    case Level::warning:
      return spdlog::level::warn;
    case Level::error:
      return spdlog::level::err;
  }
  return spdlog::level::info;
}

// stderr carries the bare message for info (it is the program's speech) and a prefix for the rest.
struct Sinks {
  std::shared_ptr<spdlog::logger> console;
  std::shared_ptr<spdlog::logger> file;
  bool console_enabled = true;

  Sinks() {
    console = std::make_shared<spdlog::logger>("console", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    console->set_pattern("%v");
    console->set_level(spdlog::level::info);
  }
};

Sinks& sinks() {
  static Sinks instance;
  return instance;
}

thread_local bool muted = false;

}  // namespace

void mute_thread() { muted = true; }

void set_level(Level level) { sinks().console->set_level(spd(level)); }
void set_stderr(bool enabled) { sinks().console_enabled = enabled; }

void set_file(const std::string& path) {
  Sinks& all = sinks();
  all.file.reset();
  if (path.empty()) return;
  try {
    all.file = std::make_shared<spdlog::logger>("file", std::make_shared<spdlog::sinks::basic_file_sink_mt>(path));
  } catch (const spdlog::spdlog_ex& e) {
    throw CheckpointError(format("cannot open the log file {}: {}", path, e.what()),
                          "free some space, check the permissions, or put the run elsewhere with run.dir");
  }
  all.file->set_error_handler([said = false](const std::string& reason) mutable {
    if (!std::exchange(said, true) && sinks().console_enabled) {
      sinks().console->warn("warning: {}; the run goes on, lines of its log are lost", reason);
    }
  });
  all.file->set_pattern("%Y-%m-%dT%H:%M:%S.%e %l %v");
  all.file->set_level(spdlog::level::info);
  all.file->flush_on(spdlog::level::warn);
}

void write(Level level, std::string_view message) {
  if (muted && level < Level::error) return;
  Sinks& all = sinks();
  if (all.console_enabled) {
    const char* prefix = level == Level::warning ? "warning: " : level == Level::debug ? "debug: " : "";
    all.console->log(spd(level), "{}{}", prefix, message);
  }
  if (all.file) all.file->log(spd(level), "{}", message);
}

void flush() {
  if (sinks().file) sinks().file->flush();
}

}  // namespace rstorch::logging
