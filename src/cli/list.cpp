#include "cli/command.h"
#include "config/dump.h"
#include "config/suggest.h"
#include "train/kinds.h"

namespace rstorch::cli {
namespace {

using config::Value;

struct Arguments {
  std::string what;
  bool json = false;
};

std::vector<KindList> chosen(const std::string& what) {
  const std::vector<KindList> all = all_kinds();
  if (what.empty()) return all;
  std::vector<std::string_view> names;
  for (const KindList& list : all) {
    if (list.plural == what) return {list};
    names.push_back(list.plural);
  }
  const auto near = config::nearest(what, names);
  throw UsageError(format("there is no list of {}", what),
                   near ? format("did you mean `{}`?", *near) : format("there are: {}", join(names, ", ")));
}

Value as_value(const std::vector<KindList>& lists) {
  Value out = Value::map();
  for (const KindList& list : lists) {
    Value kinds = Value::map();
    for (const config::Kind* kind : list.table->kinds) kinds.set(kind->name, kind->help);
    out.set(list.plural, std::move(kinds));
  }
  return out;
}

ExitCode run(const Arguments& arguments) {
  const std::vector<KindList> lists = chosen(arguments.what);
  if (arguments.json) {
    print(config::to_json(as_value(lists), 2) + "\n");
    return ExitCode::success;
  }
  for (const KindList& list : lists) {
    if (&list != &lists.front()) print("\n");
    print(format("{} (in `{}`)\n{}\n", list.plural, list.section, config::help_list(*list.table)));
  }
  print("\n`rstorch config explain NAME` shows the keys of one.\n");
  return ExitCode::success;
}

}  // namespace

void add_list(Command program, Action& action) {
  const Command command = program.add_command("list", "List layers, optimizers and all else that a config can name.",
                                              "rstorch list optimizers");
  auto arguments = std::make_shared<Arguments>();
  command.add("what", arguments->what, "layers, losses, optimizers, ...; left out: all.");
  command.add_flag("--json", arguments->json, "One JSON object.");
  command.when_chosen([&action, arguments] { action = [arguments] { return run(*arguments); }; });
}

}  // namespace rstorch::cli
