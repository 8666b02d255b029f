// rstorch: trains models that a YAML file describes. Maps errors to exit codes; the commands do the rest.
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <new>

#include <fcntl.h>
#include <unistd.h>

#include "base/version.h"
#include "cli/command.h"
#include "cli/ranks.h"
#include "cli/threads.h"
#include "config/suggest.h"
#include "train/progress.h"

namespace rstorch::cli {
namespace {

const CLI::App* find_command(const CLI::App& parent, const std::string& name) {
  for (const CLI::App* command : parent.get_subcommands([](const CLI::App*) { return true; })) {
    if (command->get_name() == name) return command;
  }
  return nullptr;
}

std::vector<std::string> command_names(const CLI::App& parent) {
  std::vector<std::string> names;
  for (const CLI::App* command : parent.get_subcommands([](const CLI::App*) { return true; })) {
    names.push_back(command->get_name());
  }
  return names;
}

// The innermost command that the arguments name, and the first word that names none.
struct Place {
  const CLI::App* command;
  std::string unknown;
};
Place find_place(const CLI::App& program, const std::vector<std::string>& words) {
  Place place{&program, {}};
  for (const std::string& word : words) {
    if (word.starts_with('-')) continue;
    const CLI::App* inner = find_command(*place.command, word);
    if (!inner) {
      if (!command_names(*place.command).empty()) place.unknown = word;
      return place;
    }
    place.command = inner;
  }
  return place;
}

std::vector<std::string> option_names(const CLI::App& command) {
  std::vector<std::string> names;
  for (const CLI::Option* option : command.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  }
  return names;
}

std::string full_name(const CLI::App& command) {
  return command.get_parent() ? full_name(*command.get_parent()) + " " + command.get_name() : command.get_name();
}

void name_parts_of_help(CLI::FormatterBase& formatter) {
  for (const auto& [theirs, ours] : {std::pair("Positionals", "Arguments"),
                                     {"SUBCOMMAND", "COMMAND"},
                                     {"OPTIONS", "options"},
                                     {"TEXT", ""},
                                     {"REQUIRED", ""},
                                     {"INT", "N"}}) {
    formatter.label(theirs, ours);
  }
  formatter.column_width(24);
}

// A program that is started without them must not have its files take the places of stdin, stdout and stderr.
void open_standard_streams() {
  int opened = 0;
  while (opened >= 0 && opened <= STDERR_FILENO) opened = ::open("/dev/null", O_RDWR);
  if (opened > STDERR_FILENO) ::close(opened);
}

void flush_output() { check_output(std::fflush(stdout) == 0 ? 0 : errno); }

int run(int argc, char** argv) {
  CLI::App program("Trains models that a YAML file describes.", "rstorch");
  name_parts_of_help(*program.get_formatter());  // before there are commands, which take it over
  program.set_help_flag("-h,--help", "Show this help.");
  program.set_version_flag("--version", std::string("rstorch ") + kVersion, "Show the version.");
  program.require_subcommand(1);
  program.footer("`rstorch COMMAND --help` shows more of each.\n\nExample:\n  rstorch train configs/digits_cnn.yaml");
  Action action;
  for (const auto add : {add_train, add_launch, add_eval, add_predict, add_plan, add_bench, add_config, add_inspect,
                         add_list, add_doctor, add_completion}) {
    add(program, action);
  }
  const std::vector<std::string> words(argv + 1, argv + argc);
  if (words.empty()) {
    std::fputs(program.help().c_str(), stderr);
    return int(ExitCode::usage);
  }
  try {
    program.parse(argc, argv);
  } catch (const CLI::Success& e) {  // --help, --version
    const int code = program.exit(e);
    flush_output();
    return code;
  } catch (const CLI::ParseError& e) {
    throw usage_error(program, words, e);
  }
  check_ranks(program.get_subcommands().front()->get_name());
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

CLI::App& add_command(CLI::App& parent, const std::string& name, const std::string& help, const std::string& example) {
  CLI::App& command = *parent.add_subcommand(name, help);
  command.group("Commands");
  command.footer("Example:\n  " + example);
  return command;
}

void add_overrides(CLI::App& command, std::vector<std::string>& overrides) {
  command.add_option("overrides", overrides, "key=value changes a key of the config, ~key removes it.")
      ->type_name("")
      ->expected(0, -1);
}

UsageError usage_error(const CLI::App& program, const std::vector<std::string>& words, const CLI::ParseError& error) {
  const Place place = find_place(program, words);
  const std::string help = format("`{} --help` shows what there is", full_name(*place.command));
  const auto suggest = [&](const std::string& word, const std::vector<std::string>& names) {
    const std::vector<std::string_view> known(names.begin(), names.end());
    const auto near = config::nearest(word, known);
    return near ? format("did you mean `{}`?", *near) : help;
  };
  const std::vector<std::string> commands = command_names(*place.command);
  if (!place.unknown.empty()) {
    return UsageError(format("there is no command `{}`", place.unknown), suggest(place.unknown, commands));
  }
  const std::vector<std::string> options = option_names(*place.command);
  for (const std::string& word : words) {
    const std::string name = word.substr(0, word.find('='));
    if (!name.starts_with("--") || std::find(options.begin(), options.end(), name) != options.end()) continue;
    return UsageError(format("{} has no option {}", full_name(*place.command), name), suggest(name, options));
  }
  if (!commands.empty()) {
    return UsageError(format("{} wants a command", full_name(*place.command)),
                      format("there are: {}", join(commands, ", ")));
  }
  return UsageError(format("{}: {}", full_name(*place.command), error.what()), help);
}

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
