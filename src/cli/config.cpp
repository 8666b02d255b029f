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

void add_show(CLI::App& parent, Action& action) {
  struct Arguments {
    std::string config;
    std::vector<std::string> overrides;
    bool json = false;
  };
  CLI::App& command = add_command(parent, "show", "The config with every default, and where each value comes from.",
                                  "rstorch config show configs/digits_mlp.yaml optimizer.lr=0.01");
  auto arguments = std::make_shared<Arguments>();
  command.add_option("config", arguments->config, "The config file; -: stdin.")->required();
  add_overrides(command, arguments->overrides);
  command.add_flag("--json", arguments->json, "One JSON object, without origins.");
  command.callback([&action, arguments] {
    action = [arguments] {
      const Value resolved = load_config(arguments->config, arguments->overrides).experiment.resolved;
      print(arguments->json ? config::to_json(resolved, 2) + "\n" : config::dump_with_origins(resolved));
      return ExitCode::success;
    };
  });
}

void add_schema(CLI::App& parent, Action& action) {
  CLI::App& command = add_command(parent, "schema", "The JSON schema of a config, for editors.",
                                  "rstorch config schema > rstorch.schema.json");
  command.callback([&action] {
    action = [] {
      print(config::to_json(config_schema(), 2) + "\n");
      return ExitCode::success;
    };
  });
}

void add_explain(CLI::App& parent, Action& action) {
  CLI::App& command = add_command(parent, "explain", "Help for a key of the config, or for a kind.",
                                  "rstorch config explain trainer.clip_grad_norm");
  auto path = std::make_shared<std::string>();
  command.add_option("key", *path, "A key (trainer.max_epochs) or a kind (AdamW); left out: the sections.");
  command.callback([&action, path] {
    action = [path] {
      print(explain(*path));
      return ExitCode::success;
    };
  });
}

}  // namespace

void add_config(CLI::App& program, Action& action) {
  CLI::App& command =
      add_command(program, "config", "Show, describe or explain configs.", "rstorch config explain optimizer");
  command.require_subcommand(1);
  add_show(command, action);
  add_schema(command, action);
  add_explain(command, action);
}

}  // namespace rstorch::cli
