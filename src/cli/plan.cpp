#include "train/plan.h"

#include "cli/command.h"
#include "cli/load.h"
#include "config/dump.h"

namespace rstorch::cli {
namespace {

struct Arguments {
  std::string config;
  std::vector<std::string> overrides;
  bool json = false;
};

ExitCode run(const Arguments& arguments) {
  const Plan plan = make_plan(load_config(arguments.config, arguments.overrides).experiment);
  print(arguments.json ? config::to_json(plan_value(plan), 2) + "\n" : plan_text(plan));
  return ExitCode::success;
}

}  // namespace

void add_plan(Command program, Action& action) {
  const Command command =
      program.add_command("plan", "Show layers, shapes, parameters, work and sizes; trains nothing.",
                          "rstorch plan configs/digits_cnn.yaml");
  auto arguments = std::make_shared<Arguments>();
  command.add("config", arguments->config, "The config file; -: stdin.").required();
  command.add_overrides(arguments->overrides);
  command.add_flag("--json", arguments->json, "One JSON object.");
  command.when_chosen([&action, arguments] { action = [arguments] { return run(*arguments); }; });
}

}  // namespace rstorch::cli
