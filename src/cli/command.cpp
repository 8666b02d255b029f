#include "cli/command.h"

#include <algorithm>

#include <CLI/CLI.hpp>

#include "base/version.h"
#include "config/suggest.h"

namespace rstorch::cli {
namespace {

// Of the options' help texts; commands take it over from the program.
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

std::vector<std::string> names_of(const std::vector<Command>& commands) {
  std::vector<std::string> names;
  for (const Command& command : commands) names.push_back(command.name());
  return names;
}

// The innermost command that the arguments name, and the first word that names none.
struct Place {
  Command command;
  std::string unknown;
};
Place find_place(const Command& program, const std::vector<std::string>& words) {
  Place place{program, {}};
  for (const std::string& word : words) {
    if (word.starts_with('-')) continue;
    const std::vector<Command> commands = place.command.commands();
    const auto inner = std::ranges::find(commands, word, &Command::name);
    if (inner == commands.end()) {
      if (!commands.empty()) place.unknown = word;
      return place;
    }
    place.command = *inner;
  }
  return place;
}

// What is wrong with `words`, of which CLI11 says `what`.
UsageError usage_error(const Command& program, const std::vector<std::string>& words, const std::string& what) {
  const Place place = find_place(program, words);
  const std::string name_of_command = place.command.full_name();
  const std::string help = format("`{} --help` shows what there is", name_of_command);
  const auto suggest = [&](const std::string& word, const std::vector<std::string>& names) {
    const std::vector<std::string_view> known(names.begin(), names.end());
    const auto near = config::nearest(word, known);
    return near ? format("did you mean `{}`?", *near) : help;
  };
  const std::vector<std::string> commands = names_of(place.command.commands());
  if (!place.unknown.empty()) {
    return UsageError(format("there is no command `{}`", place.unknown), suggest(place.unknown, commands));
  }
  const std::vector<std::string> options = place.command.option_names();
  for (const std::string& word : words) {
    const std::string name = word.substr(0, word.find('='));
    if (!name.starts_with("--") || std::ranges::find(options, name) != options.end()) continue;
    return UsageError(format("{} has no option {}", name_of_command, name), suggest(name, options));
  }
  if (!commands.empty()) {
    return UsageError(format("{} wants a command", name_of_command), format("there are: {}", join(commands, ", ")));
  }
  return UsageError(format("{}: {}", name_of_command, what), help);
}

}  // namespace

// --- Argument

Argument& Argument::required() {
  option_->required();
  return *this;
}
Argument& Argument::shown_as(const std::string& name) {
  option_->type_name(name);
  return *this;
}
Argument& Argument::one_of(const std::vector<std::string>& words) {
  option_->check(CLI::IsMember(words).description(""));
  return *this;
}
Argument& Argument::in_range(int least, int most) {
  option_->check(CLI::Range(least, most).description(""));
  return *this;
}
Argument& Argument::check(const std::function<std::string(const std::string&)>& problem) {
  option_->check(problem);
  return *this;
}

// --- Command

Command Command::add_command(const std::string& name, const std::string& help, const std::string& example) const {
  CLI::App& command = *app_->add_subcommand(name, help);
  command.group("Commands");
  command.footer("Example:\n  " + example);
  return Command(command);
}

Argument Command::add(const std::string& name, std::string& value, const std::string& help) const {
  return Argument(*app_->add_option(name, value, help));
}
Argument Command::add(const std::string& name, int& value, const std::string& help) const {
  return Argument(*app_->add_option(name, value, help));
}
Argument Command::add(const std::string& name, std::optional<int64_t>& value, const std::string& help) const {
  return Argument(*app_->add_option(name, value, help));
}
void Command::add_flag(const std::string& name, bool& value, const std::string& help) const {
  app_->add_flag(name, value, help);
}

void Command::add_overrides(std::vector<std::string>& overrides) const {
  app_->add_option("overrides", overrides, "key=value changes a key of the config, ~key removes it.")
      ->type_name("")
      ->expected(0, -1);
}

void Command::require_command() const { app_->require_subcommand(1); }
void Command::take_rest() const { app_->prefix_command(); }
std::vector<std::string> Command::rest() const { return app_->remaining(); }
void Command::when_chosen(const std::function<void()>& then) const { app_->callback(then); }

std::string Command::name() const { return app_->get_name(); }
std::string Command::full_name() const {
  CLI::App* const parent = app_->get_parent();
  return parent ? Command(*parent).full_name() + " " + name() : name();
}

std::vector<Command> Command::commands() const {
  std::vector<Command> commands;
  for (CLI::App* command : app_->get_subcommands([](CLI::App*) { return true; })) commands.emplace_back(*command);
  return commands;
}

std::vector<std::string> Command::option_names() const {
  std::vector<std::string> names;
  for (const CLI::Option* option : app_->get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  }
  return names;
}

// --- Program

Program::Program(const std::string& name, const std::string& help) : app_(std::make_unique<CLI::App>(help, name)) {
  name_parts_of_help(*app_->get_formatter());  // before there are commands, which take it over
  app_->set_help_flag("-h,--help", "Show this help.");
  app_->set_version_flag("--version", std::string("rstorch ") + kVersion, "Show the version.");
  app_->require_subcommand(1);
  app_->footer("`rstorch COMMAND --help` shows more of each.\n\nExample:\n  rstorch train configs/digits_cnn.yaml");
}
Program::~Program() = default;

Command Program::root() const { return Command(*app_); }
std::string Program::help() const { return app_->help(); }
std::string Program::chosen() const { return app_->get_subcommands().front()->get_name(); }

std::optional<int> Program::parse(const std::vector<std::string>& words) {
  try {
    app_->parse(std::vector<std::string>(words.rbegin(), words.rend()));  // CLI11 takes the last first
  } catch (const CLI::Success& asked) {
    return app_->exit(asked);
  } catch (const CLI::ParseError& error) {
    throw usage_error(root(), words, error.what());
  }
  return {};
}

}  // namespace rstorch::cli
