#include "cli/command.h"
#include "config/dump.h"
#include "config/load.h"
#include "train/goal.h"
#include "train/saved_model.h"
#include "train/text_table.h"

namespace rstorch::cli {
namespace {

using config::Value;

struct Arguments {
  std::string path;
  bool json = false;
};

Value tensors_value(const SafetensorsFile& file) {
  Value out = Value::list();
  for (const SafetensorsFile::Entry& entry : file.entries()) {
    out.append(Value::map({{"name", entry.name},
                           {"dtype", name_of(entry.dtype)},
                           {"shape", config::write(entry.shape.vector())},
                           {"bytes", int64_t(entry.end - entry.begin)}}));
  }
  return out;
}

std::string tensors_text(const SafetensorsFile& file) {
  using Align = TextTable::Align;
  TextTable table({{"tensor"}, {"dtype"}, {"shape"}, {"elements", Align::right}});
  int64_t total = 0;
  for (const SafetensorsFile::Entry& entry : file.entries()) {
    table.add({entry.name, std::string(name_of(entry.dtype)), entry.shape.text(), grouped(entry.shape.numel())});
    total += entry.shape.numel();
  }
  table.add({"total", "", "", grouped(total)});
  return table.text();
}

ExitCode inspect_file(const Arguments& arguments) {
  const SafetensorsFile file(arguments.path);
  print(arguments.json ? config::to_json(Value::map({{"tensors", tensors_value(file)}}), 2) + "\n"
                       : tensors_text(file));
  return ExitCode::success;
}

// What the best checkpoint goes by.
std::string best_metric(const Checkpoint& checkpoint) {
  config::Report report;
  const Value root = config::load_text(checkpoint.config_text(), "config.yaml", {}, report);
  const Experiment experiment = Experiment::read(root, report);
  const std::optional<Goal> goal = report.ok() ? best_goal(experiment) : std::nullopt;
  return goal ? goal->metric : "value";
}

std::string state_text(const Checkpoint& checkpoint, const TrainingState& state) {
  std::string text = format("{}\n  complete, {}, written by rstorch {}\n", checkpoint.folder().string(),
                            bytes_text(double(checkpoint.bytes())), checkpoint.manifest().at("rstorch").as_string());
  text += format("  step {}, epoch {}, {} of training, {}\n", state.step, state.epoch, duration_text(state.seconds),
                 state.finished ? "finished" : "unfinished");
  for (const auto& [name, value] : state.metrics) text += format("  {:<16} {:.6g}\n", name, value);
  if (state.best) {
    text += format("  best {} at step {}: {:.6g}\n", best_metric(checkpoint), state.best->step, state.best->value);
  }
  return text;
}

ExitCode run(const Arguments& arguments) {
  if (arguments.path.ends_with(".safetensors")) return inspect_file(arguments);
  const Checkpoint checkpoint(arguments.path);
  const TrainingState state = read_training_state(checkpoint);
  const SafetensorsFile model = checkpoint.model();
  if (!arguments.json) {
    print(state_text(checkpoint, state) + "\n" + tensors_text(model));
    return ExitCode::success;
  }
  print(config::to_json(Value::map({{"checkpoint", checkpoint.folder().string()},
                                    {"manifest", checkpoint.manifest()},
                                    {"state", checkpoint.state()},
                                    {"tensors", tensors_value(model)}}),
                        2) +
        "\n");
  return ExitCode::success;
}

}  // namespace

void add_inspect(Command program, Action& action) {
  const Command command = program.add_command("inspect", "Show and verify what is in a checkpoint or safetensors file.",
                                              "rstorch inspect runs/digits_cnn/checkpoints/last");
  auto arguments = std::make_shared<Arguments>();
  command.add("path", arguments->path, "A checkpoint, a run folder, or a .safetensors file.").required();
  command.add_flag("--json", arguments->json, "One JSON object.");
  command.when_chosen([&action, arguments] { action = [arguments] { return run(*arguments); }; });
}

}  // namespace rstorch::cli
