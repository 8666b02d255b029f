// The commands of the program. Each file of this folder adds one: its arguments, its help with an example, and what it
// does. CLI11 stays behind this header: to compile it takes longer than all else of a command.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace rstorch::cli {

// What the chosen command does, once its arguments are read. Throws Error.
using Action = std::function<ExitCode()>;

// An argument that takes a value, and what is asked of that.
class Argument {
 public:
  explicit Argument(CLI::Option& option) : option_(&option) {}
  Argument& required();
  Argument& shown_as(const std::string& name);  // in the help: "FILE"
  Argument& one_of(const std::vector<std::string>& words);
  Argument& in_range(int least, int most);
  // `problem` says what is wrong with a value; empty: nothing.
  Argument& check(const std::function<std::string(const std::string&)>& problem);

 private:
  CLI::Option* option_;
};

// A command, or the program as the command that has all others. A handle: copies mean the same command, which lives as
// long as the Program. References that it is given are written when the arguments are read.
class Command {
 public:
  explicit Command(CLI::App& app) : app_(&app) {}

  // A command of this one, with its example in the help text.
  Command add_command(const std::string& name, const std::string& help, const std::string& example) const;
  // `name`: "--out", "-n,--ranks"; without dashes, one that is told by its place.
  Argument add(const std::string& name, std::string& value, const std::string& help) const;
  Argument add(const std::string& name, int& value, const std::string& help) const;
  Argument add(const std::string& name, std::optional<int64_t>& value, const std::string& help) const;
  void add_flag(const std::string& name, bool& value, const std::string& help) const;
  // `[key=value...]`, `~key`.
  void add_overrides(std::vector<std::string>& overrides) const;
  // It is nothing without one of its commands.
  void require_command() const;
  // What follows its own arguments belongs to another program: rest(), when this one is chosen.
  void take_rest() const;
  std::vector<std::string> rest() const;
  void when_chosen(const std::function<void()>& then) const;

  std::string name() const;
  std::string full_name() const;  // "rstorch config show"
  std::vector<Command> commands() const;
  std::vector<std::string> option_names() const;  // "--json"

 private:
  CLI::App* app_;
};

// What the command line is read by.
class Program {
 public:
  Program(const std::string& name, const std::string& help);
  ~Program();
  Command root() const;
  std::string help() const;
  // Throws UsageError that says what may have been meant. An exit code where help or the version was asked for, and has
  // been printed.
  std::optional<int> parse(const std::vector<std::string>& words);
  std::string chosen() const;  // the command's name

 private:
  std::unique_ptr<CLI::App> app_;
};

void add_train(Command program, Action& action);
void add_eval(Command program, Action& action);
void add_predict(Command program, Action& action);
void add_plan(Command program, Action& action);
void add_config(Command program, Action& action);
void add_inspect(Command program, Action& action);
void add_list(Command program, Action& action);
void add_doctor(Command program, Action& action);
void add_bench(Command program, Action& action);
void add_launch(Command program, Action& action);
void add_completion(Command program, Action& action);

// An error's report, to stderr.
void show_error(const std::string& report);
// Throws where stdout took no more, for a reason that is an errno; 0: it took all.
void check_output(int error);
// To stdout.
void print(const std::string& text);

}  // namespace rstorch::cli
