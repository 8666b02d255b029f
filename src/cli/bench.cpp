#include "train/bench.h"

#include <cstdlib>

#include "cli/command.h"
#include "cli/load.h"
#include "cli/ranks.h"
#include "config/dump.h"
#include "train/agreement.h"

namespace rstorch::cli {
namespace {

struct Arguments {
  std::string config;
  std::vector<std::string> overrides;
  std::optional<int64_t> steps;
  bool json = false;
};

ExitCode run(const Arguments& arguments, dist::ProcessGroup& group) {
  const LoadedConfig loaded = load_config(arguments.config, arguments.overrides);
  agree_on_config(group, loaded.experiment);
  const BenchResult result = run_bench(loaded.experiment, {arguments.steps}, group);
  if (!group.is_root()) return ExitCode::success;
  print(arguments.json ? config::to_json(bench_value(result), 2) + "\n" : bench_text(result));
  return ExitCode::success;
}

}  // namespace

void add_bench(Command program, Action& action) {
  const Command command = program.add_command("bench", "Measure training steps, layers and kernels; writes no run.",
                                              "rstorch bench configs/mnist_mlp.yaml --steps 200");
  auto arguments = std::make_shared<Arguments>();
  command.add("config", arguments->config, "The config file; -: stdin.").required();
  command.add_overrides(arguments->overrides);
  command.add("--steps", arguments->steps, "Steps to measure; left out: a few seconds of them.")
      .check([](const std::string& steps) {
        const bool digits = steps.find_first_not_of("0123456789") == steps.npos;
        return digits && steps.size() < 10 && std::atoi(steps.c_str()) > 0 ? "" : "wanted 1 to 999999999";
      });
  command.add_flag("--json", arguments->json, "One JSON object.");
  command.when_chosen([&action, arguments] {
    action = [arguments] {
      return with_ranks("bench", 0, [&](dist::ProcessGroup& group) { return run(*arguments, group); });
    };
  });
}

}  // namespace rstorch::cli
