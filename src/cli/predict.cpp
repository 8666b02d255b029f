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

void add_predict(CLI::App& program, Action& action) {
  CLI::App& command =
      add_command(program, "predict", "Write a checkpoint's predictions as CSV or JSONL.",
                  "rstorch predict runs/digits_cnn/checkpoints/best --data datasets/digits --out out.csv");
  auto arguments = std::make_shared<Arguments>();
  command.add_option("checkpoint", arguments->checkpoint, "A checkpoint or a run folder.")->required();
  add_overrides(command, arguments->overrides);
  command
      .add_option("--data", arguments->data, "Its path, or {type: ...} as in a config; left out: the validation data.")
      ->type_name("DATA");
  command.add_option("--out", arguments->out, "The file to write; -: stdout.")->required()->type_name("FILE");
  command.add_option("--format", arguments->format, "csv or jsonl; left out, the name of the file says it.")
      ->type_name("FORMAT")
      ->check(CLI::IsMember({"csv", "jsonl"}).description(""));
  command.callback([&action, arguments] { action = [arguments] { return run(*arguments); }; });
}

}  // namespace rstorch::cli
