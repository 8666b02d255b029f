// The commands of the program. Each file of this folder adds one: its arguments, its help with an example, and what it
// does.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "base/error.h"

namespace rstorch::cli {

// What the chosen command does, once its arguments are read. Throws Error.
using Action = std::function<ExitCode()>;

void add_train(CLI::App& program, Action& action);
void add_eval(CLI::App& program, Action& action);
void add_predict(CLI::App& program, Action& action);
void add_plan(CLI::App& program, Action& action);
void add_config(CLI::App& program, Action& action);
void add_inspect(CLI::App& program, Action& action);
void add_list(CLI::App& program, Action& action);
void add_doctor(CLI::App& program, Action& action);
void add_bench(CLI::App& program, Action& action);
void add_launch(CLI::App& program, Action& action);
void add_completion(CLI::App& program, Action& action);

// A command with its example in the help text.
CLI::App& add_command(CLI::App& parent, const std::string& name, const std::string& help, const std::string& example);
// `[key=value...]`, `~key`.
void add_overrides(CLI::App& command, std::vector<std::string>& overrides);
// What is wrong with `words`, which `program` could not parse, and what may have been meant.
UsageError usage_error(const CLI::App& program, const std::vector<std::string>& words, const CLI::ParseError& error);
// An error's report, to stderr.
void show_error(const std::string& report);
// Throws where stdout took no more, for a reason that is an errno; 0: it took all.
void check_output(int error);
// To stdout.
void print(const std::string& text);

}  // namespace rstorch::cli
