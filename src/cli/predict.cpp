#include "train/predict.h"

#include "cli/command.h"

namespace rstorch::cli {
namespace {

struct Arguments {
  std::string checkpoint;
  std::vector<std::string> overrides;
  std::string data;
  std::string out;
  std::string format;
};

PredictionFormat format_of(const Arguments& arguments) {
  if (!arguments.format.empty()) return arguments.format == "csv" ? PredictionFormat::csv : PredictionFormat::jsonl;
  if (const auto format = prediction_format(arguments.out)) return *format;
  if (arguments.out == "-") throw UsageError("are they to be CSV or JSONL?", "give --format csv|jsonl");
  throw UsageError(rstorch::format("{}: is it to be CSV or JSONL?", arguments.out),
                   "name it .csv or .jsonl, or give --format csv|jsonl");
}

ExitCode run(const Arguments& arguments) {
  const PredictionFormat format = format_of(arguments);
  config::Report report;
  const auto change = [&](config::Value& root) {
    if (!arguments.data.empty()) use_data(root, arguments.data, report);
  };
  const SavedModel saved(arguments.checkpoint, arguments.overrides, change);
  report.throw_if_errors();
  const int64_t count = write_predictions(saved, arguments.out, format);
  if (arguments.out != "-") print(rstorch::format("{} predictions in {}\n", count, arguments.out));
  return ExitCode::success;
}

}  // namespace

void add_predict(Command program, Action& action) {
  const Command command =
      program.add_command("predict", "Write a checkpoint's predictions as CSV or JSONL.",
                          "rstorch predict runs/digits_cnn/checkpoints/best --data datasets/digits --out out.csv");
  auto arguments = std::make_shared<Arguments>();
  command.add("checkpoint", arguments->checkpoint, "A checkpoint or a run folder.").required();
  command.add_overrides(arguments->overrides);
  command.add("--data", arguments->data, "Its path, or {type: ...} as in a config; left out: the validation data.")
      .shown_as("DATA");
  command.add("--out", arguments->out, "The file to write; -: stdout.").required().shown_as("FILE");
  command.add("--format", arguments->format, "csv or jsonl; left out, the name of the file says it.")
      .shown_as("FORMAT")
      .one_of({"csv", "jsonl"});
  command.when_chosen([&action, arguments] { action = [arguments] { return run(*arguments); }; });
}

}  // namespace rstorch::cli
