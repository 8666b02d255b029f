#include "cli/command.h"
#include "cli/ranks.h"
#include "config/dump.h"
#include "train/saved_model.h"

namespace rstorch::cli {
namespace {

struct Arguments {
  std::string checkpoint;
  std::vector<std::string> overrides;
  std::string data;
  bool json = false;
};

ExitCode run(const Arguments& arguments, dist::ProcessGroup& group) {
  config::Report report;
  const auto change = [&](config::Value& root) {
    if (!arguments.data.empty()) use_data(root, arguments.data, report);
  };
  const SavedModel saved(arguments.checkpoint, arguments.overrides, change);
  report.throw_if_errors();
  const Metrics metrics = evaluate(saved, group);
  if (!group.is_root()) return ExitCode::success;
  if (!arguments.json) {
    print(metrics_text(metrics) + "\n");
    return ExitCode::success;
  }
  config::Value object = config::Value::map();
  for (const auto& [name, value] : metrics) object.set(name, value);
  object.set("step", saved.state().step);
  object.set("checkpoint", saved.checkpoint().folder().string());
  print(config::to_json(object) + "\n");
  return ExitCode::success;
}

}  // namespace

void add_eval(Command program, Action& action) {
  const Command command = program.add_command("eval", "Measure a checkpoint on its validation data, or on other data.",
                                              "rstorch eval runs/digits_cnn/checkpoints/best --json");
  auto arguments = std::make_shared<Arguments>();
  command.add("checkpoint", arguments->checkpoint, "A checkpoint or a run folder.").required();
  command.add_overrides(arguments->overrides);
  command.add("--data", arguments->data, "Other data: its path, or {type: ...} as in a config.").shown_as("DATA");
  command.add_flag("--json", arguments->json, "One JSON object.");
  command.when_chosen([&action, arguments] {
    action = [arguments] {
      return with_ranks("eval", 0, [&](dist::ProcessGroup& group) { return run(*arguments, group); });
    };
  });
}

}  // namespace rstorch::cli
