#include "train/train.h"

#include <algorithm>
#include <cerrno>  // program_invocation_name
#include <csignal>
#include <cstdlib>
#include <sstream>

#include "base/log.h"
#include "cli/command.h"
#include "cli/mpirun.h"
#include "cli/ranks.h"
#include "cli/shell_word.h"
#include "cli/train_arguments.h"
#include "dist/connect.h"
#include "train/plan.h"
#include "train/rank_device.h"
#include "train/stop_signals.h"
#include "train/text_table.h"

namespace rstorch::cli {
namespace {

// What to type so that the run goes on, with these overrides beside those it was started with.
std::string command_to_continue(const TrainArguments& arguments, const std::vector<std::string>& more) {
  const auto key = [](const std::string& override) { return override.substr(0, override.find('=')); };
  std::vector<std::string> words = {program_invocation_name};
  // "launch -n 4", as the launcher was called.
  if (const char* const launch = std::getenv(kLaunchWords)) {
    std::istringstream parts(launch);
    for (std::string part; parts >> part;) words.push_back(part);
  }
  words.insert(words.end(), {"train", arguments.config});
  for (const std::string& given : arguments.overrides) {
    const auto replaces = [&](const std::string& other) { return key(other) == key(given); };
    if (std::ranges::none_of(more, replaces)) words.push_back(given);
  }
  words.insert(words.end(), more.begin(), more.end());
  if (arguments.smoke) words.emplace_back("--smoke");
  words.emplace_back("--resume");
  return shell_line(words);
}

void say_how_it_ended(const TrainResult& result, const TrainArguments& arguments) {
  if (result.nothing_to_do) {
    print(format("{} is finished, at step {}: there is nothing to continue.\n", result.run.string(), result.step));
    if (!result.longer.empty()) print(format("To train on: {}\n", command_to_continue(arguments, result.longer)));
    return;
  }
  if (result.outcome == Trainer::Outcome::stopped) {
    const std::string& own = result.stop_reason;
    const std::string launchers = own == "SIGUSR1" ? noted_signal() : std::string();
    logging::info(format("stopped by {} after step {}, saved; continue with: {}", launchers.empty() ? own : launchers,
                         result.step, command_to_continue(arguments, {})));
    return;
  }
  Metrics shown;
  for (const auto& [name, value] : result.metrics) {
    if (name.starts_with("val.") || name == "train.loss") shown.emplace_back(name, value);
  }
  print(format("{}  {} steps in {}\n{}\n", metrics_text(shown), result.step, duration_text(result.seconds),
               (result.run / "checkpoints" / "last").string()));
}

// Who names a backend means several ranks.
void warn_of_one_rank(const RunConfig& config) {
  const Backend backend = config.distributed.backend;
  if (backend == Backend::automatic) return;
  logging::warning(
      format("`distributed.backend: {}` has nothing to do: there is one rank; `rstorch launch -n N` starts several",
             config::name_of(backend)));
}

ExitCode run(const TrainArguments& arguments, dist::ProcessGroup& group) {
  LoadedConfig loaded = load_config(arguments.config, arguments.overrides, arguments.size());
  if (arguments.resume) loaded.experiment.config.checkpoint.resume = "auto";
  RunLimits limits = arguments.smoke ? RunLimits::smoke() : RunLimits();
  if (!arguments.inject.empty()) limits.fault = Fault::parse(arguments.inject);
  if (limits.fault && limits.fault->rank >= group.size()) {
    throw UsageError(format("--inject names rank {}, and there are {}", limits.fault->rank, group.size()),
                     "ranks are counted from 0");
  }
  if (group.size() == 1) warn_of_one_rank(loaded.experiment.config);
  if (arguments.dry_run) {
    const Device device = prepare_device(loaded.experiment, group);
    const data::OpenedData data = open_data(loaded.experiment, limits);
    const optim::RunLength length = run_length(loaded.experiment, *data.train);
    Learner learner = make_learner(loaded.experiment, *data.train, length, device, group);
    if (!group.is_root()) return ExitCode::success;
    print(plan_text(make_plan(loaded.experiment)));
    print(format("\n{}: {}\nnothing was trained or written\n", loaded.experiment.config.run.name,
                 describe_run(data, learner.model(), device)));
    return ExitCode::success;
  }
  std::signal(SIGPIPE, SIG_IGN);  // who reads what a run says may leave; the run goes on
  const TrainResult result = train({loaded.experiment, loaded.text, limits}, group);
  if (group.is_root()) say_how_it_ended(result, arguments);
  return result.outcome == Trainer::Outcome::stopped ? ExitCode::requeue : ExitCode::success;
}

}  // namespace

Command add_train_command(const Command& program, TrainArguments& arguments) {
  const Command command =
      program.add_command("train", "Train a model as a config says.",
                          "rstorch train configs/digits_cnn.yaml optimizer.lr=3e-4 trainer.max_epochs=5");
  command.add("config", arguments.config, "The config file; -: stdin.").required();
  command.add_overrides(arguments.overrides);
  command.add_flag("--resume", arguments.resume, "Continue an unfinished run of this name.");
  command.add_flag("--smoke", arguments.smoke, "A few small steps, to see that everything works.");
  command.add_flag("--dry-run", arguments.dry_run, "Read the config, open the data, build the model, and stop.");
  command.add("--simulate-ranks", arguments.simulate_ranks, "Train with so many ranks, as threads.").in_range(1, 64);
  command.add("--inject", arguments.inject, "A fault, for tests: kill:rank=1@step=50; stop, hang, slow, error.")
      .shown_as("FAULT");
  return command;
}

void add_train(Command program, Action& action) {
  auto arguments = std::make_shared<TrainArguments>();
  add_train_command(program, *arguments).when_chosen([&action, arguments] {
    action = [arguments] {
      if (dist::find_launch()) StopSignals::expect_usr1();
      return with_ranks("train", arguments->simulate_ranks,
                        [&](dist::ProcessGroup& group) { return run(*arguments, group); });
    };
  });
}

}  // namespace rstorch::cli
