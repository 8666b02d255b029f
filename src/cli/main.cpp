// rstorch: trains models that a YAML file describes. Maps errors to exit codes; the commands do the rest.
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <new>

#include <fcntl.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/ranks.h"
#include "cli/threads.h"
#include "train/progress.h"

namespace rstorch::cli {
namespace {

// A program that is started without them must not have its files take the places of stdin, stdout and stderr.
void open_standard_streams() {
  int opened = 0;
  while (opened >= 0 && opened <= STDERR_FILENO) opened = ::open("/dev/null", O_RDWR);
  if (opened > STDERR_FILENO) ::close(opened);
}

void flush_output() { check_output(std::fflush(stdout) == 0 ? 0 : errno); }

int run(int argc, char** argv) {
  Program program("rstorch", "Trains models that a YAML file describes.");
  Action action;
  for (const auto add : {add_train, add_launch, add_eval, add_predict, add_plan, add_bench, add_config, add_inspect,
                         add_list, add_doctor, add_completion}) {
    add(program.root(), action);
  }
  const std::vector<std::string> words(argv + 1, argv + argc);
  if (words.empty()) {
    std::fputs(program.help().c_str(), stderr);
    return int(ExitCode::usage);
  }
  if (const std::optional<int> code = program.parse(words)) {  // --help, --version
    flush_output();
    return *code;
  }
  check_ranks(program.chosen());
  const ExitCode code = action();
  flush_output();
  return int(code);
}

int fail(const std::string& report, ExitCode code) {
  let_rank0_speak();
  show_error(report);
  return int(code);
}

}  // namespace

void show_error(const std::string& report) {
  constexpr std::string_view kRed = "\033[1;31m", kPlain = "\033[0m";
  const size_t head = report.find(':');
  const std::string text = stderr_has_colours() && report.starts_with("error[") && head != std::string::npos
                               ? format("{}{}{}{}", kRed, report.substr(0, head), kPlain, report.substr(head))
                               : report;
  std::fputs((text + "\n").c_str(), stderr);
}

// Whoever closed the other end of a pipe has what it wanted.
void check_output(int error) {
  if (error == 0 || error == EPIPE) return;
  throw CheckpointError(format("cannot write to stdout: {}", std::strerror(error)),
                        "free some space, or send the output elsewhere");
}

void print(const std::string& text) {
  check_output(std::fwrite(text.data(), 1, text.size(), stdout) == text.size() ? 0 : errno);
}

}  // namespace rstorch::cli

int main(int argc, char** argv) {
  using rstorch::ExitCode;
  using rstorch::cli::fail;
  try {
    rstorch::cli::open_standard_streams();
    rstorch::cli::check_thread_count();
    rstorch::cli::limit_spinning(argv);
    return rstorch::cli::run(argc, argv);
  } catch (const rstorch::Error& e) {
    return fail(e.report(), e.exit_code());
  } catch (const std::bad_alloc&) {
    return fail("error[E0501]: out of memory", ExitCode::out_of_memory);
  } catch (const std::exception& e) {
    return fail(std::string("error[E0100]: internal error: ") + e.what(), ExitCode::internal);
  }
}
