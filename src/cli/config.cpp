#include "cli/command.h"
#include "cli/explain.h"
#include "cli/load.h"
#include "config/dump.h"
#include "data/data.h"
#include "nn/builder.h"

namespace rstorch::cli {
namespace {

using config::Value;

// Each `data:` may also hold a dataset's keys beside its own.
Value config_schema() {
  Value schema = config::schema_document(config::describe<RunConfig>(), "rstorch config");
  Value& properties = *schema.find("properties");
  Value data = config::schema(config::describe<data::DataConfig>());
  data.set("additionalProperties", true);
  properties.set("data", std::move(data));
  properties.set("model", config::schema(config::describe<nn::ModelConfig>()));
  return schema;
}

void add_show(Command parent, Action& action) {
  struct Arguments {
    std::string config;
    std::vector<std::string> overrides;
    bool json = false;
  };
  const Command command = parent.add_command("show", "The config with every default, and where each value comes from.",
                                             "rstorch config show configs/digits_mlp.yaml optimizer.lr=0.01");
  auto arguments = std::make_shared<Arguments>();
  command.add("config", arguments->config, "The config file; -: stdin.").required();
  command.add_overrides(arguments->overrides);
  command.add_flag("--json", arguments->json, "One JSON object, without origins.");
  command.when_chosen([&action, arguments] {
    action = [arguments] {
      const Value resolved = load_config(arguments->config, arguments->overrides).experiment.resolved;
      print(arguments->json ? config::to_json(resolved, 2) + "\n" : config::dump_with_origins(resolved));
      return ExitCode::success;
    };
  });
}

void add_schema(Command parent, Action& action) {
  const Command command = parent.add_command("schema", "The JSON schema of a config, for editors.",
                                             "rstorch config schema > rstorch.schema.json");
  command.when_chosen([&action] {
    action = [] {
      print(config::to_json(config_schema(), 2) + "\n");
      return ExitCode::success;
    };
  });
}

void add_explain(Command parent, Action& action) {
  const Command command = parent.add_command("explain", "Help for a key of the config, or for a kind.",
                                             "rstorch config explain trainer.clip_grad_norm");
  auto path = std::make_shared<std::string>();
  command.add("key", *path, "A key (trainer.max_epochs) or a kind (AdamW); left out: the sections.");
  command.when_chosen([&action, path] {
    action = [path] {
      print(explain(*path));
      return ExitCode::success;
    };
  });
}

}  // namespace

void add_config(Command program, Action& action) {
  const Command command =
      program.add_command("config", "Show, describe or explain configs.", "rstorch config explain optimizer");
  command.require_command();
  add_show(command, action);
  add_schema(command, action);
  add_explain(command, action);
}

}  // namespace rstorch::cli
