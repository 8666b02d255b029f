#include <algorithm>
#include <cstdlib>
#include <cstring>

#include <unistd.h>

#include "base/log.h"
#include "cli/command.h"
#include "cli/mpirun.h"
#include "cli/ranks.h"
#include "cli/scratch_folder.h"
#include "cli/shell_word.h"
#include "cli/supervisor.h"
#include "cli/train_arguments.h"
#include "dist/last_words.h"
#include "train/run_directory.h"
#include "train/text_table.h"

namespace rstorch::cli {
namespace {

using files::Path;

constexpr int kMostRanks = 4096;
constexpr int kMostRestarts = 1000000;
constexpr double kSoon = 10;  // seconds: who ends sooner may have ended for the same reason as before
constexpr std::chrono::seconds kPause{2};
constexpr std::string_view kLostHint =
    "what the ranks said above is the cause; `--resume` goes on from the last checkpoint";

struct Arguments {
  int ranks = 0;
  std::string hosts;
  int max_restarts = 0;
  bool dry_run = false;
  std::vector<std::string> command;
};

// Where a run keeps its checkpoints. It is the newest one of its name once it has begun.
struct RunName {
  Path root;
  std::string name;
};

// A run's newest checkpoint.
struct Progress {
  Path run;
  int64_t step = 0;  // 0: none yet
  // Whether there is a checkpoint that there was not before.
  bool moved_since(const Progress& before) const { return step > 0 && (run != before.run || step != before.step); }
};

Progress progress_of(const RunName& name) try {
  const auto run = newest_run(name.root, name.name);
  if (!run || !files::is_there(*run / "checkpoints")) return {};
  const std::vector<int64_t> steps = checkpoint_steps(*run / "checkpoints");
  return {*run, steps.empty() ? 0 : steps.back()};
} catch (const CheckpointError&) {  // it changes while it is read
  return {};
}

std::string place_text(const Progress& progress) {
  return progress.step > 0 ? format("step {}", progress.step) : "the beginning";
}

// What an end means that no rank comes to by itself, or that is called one.
std::string what_happened(const Ending& ending) {
  if (ending.had_to_be_killed) return "a rank ended, and mpirun did not end the others: it was killed";
  if (ending.code == int(ExitCode::distributed)) return "a rank or the network was lost (exit code 7)";
  if (ending.code == 127) return "mpirun could not be started";
  if (ending.code == 1) return "a rank ended with an internal error, or mpirun could not start the ranks (exit code 1)";
  const char* const signal = ending.code > 128 ? ::sigabbrev_np(ending.code - 128) : nullptr;
  if (signal) return format("a rank, or mpirun, was killed by SIG{}", signal);
  return format("mpirun ended with exit code {}: it lost a machine, or could not start a rank there", ending.code);
}

std::string hint_for(const Ending& ending, const std::string& line) {
  if (ending.had_to_be_killed) return std::string(kLostHint);
  if (ending.code == 128 + SIGKILL) {
    return "where nobody did that, memory ran out (`dmesg` says so); `--resume` goes on from the last checkpoint";
  }
  if (ending.code > 128 && ending.code <= 128 + SIGSYS) return std::string(kLostHint);
  return format("mpirun says more when it is asked: {}", line);
}

bool is_of_ranks(int code) { return code == 0 || (code >= 2 && code <= 9) || code == int(ExitCode::requeue); }

// Another start may end otherwise: something was lost. What a rank says of its config, data or numbers, and an internal
// error, would come again.
bool may_pass(const Ending& ending) {
  return ending.code == int(ExitCode::distributed) || (!is_of_ranks(ending.code) && ending.code != 1);
}

// Decides after a failure whether to start again: not more often than told, and not where it leads nowhere.
class Restarts {
 public:
  Restarts(int most, RunName name) : most_(most), name_(std::move(name)), at_start_(progress_of(name_)) {}

  // Says the restart; throws where there is to be none.
  void decide(const Ending& ending) {
    const std::string what = what_happened(ending);
    const Progress now = progress_of(name_);
    count(ending, now);
    if (soon_ == 2) give_up(format("twice in a row within {} s and without a new checkpoint", kSoon), what, now);
    if (stuck_ == 2) give_up("the newest checkpoint is the same after three failures", what, now);
    if (done_ == most_) throw DistError(format("{}, after {} restarts", what, done_), std::string(kLostHint), 12);
    logging::warning(format("{} after {}: restart {} of {} goes on from {}", what, duration_text(ending.seconds),
                            ++done_, most_, place_text(now)));
  }

 private:
  void count(const Ending& ending, const Progress& now) {
    soon_ = ending.seconds < kSoon && !now.moved_since(at_start_) ? soon_ + 1 : 0;
    stuck_ = at_failure_ && !now.moved_since(*at_failure_) ? stuck_ + 1 : 0;
    at_failure_ = at_start_ = now;
  }

  [[noreturn]] static void give_up(const std::string& why, const std::string& what, const Progress& now) {
    throw DistError(format("no more restarts: {} ({}); last: {}", why, place_text(now), what), std::string(kLostHint),
                    13);
  }

  int most_;
  RunName name_;
  Progress at_start_;
  std::optional<Progress> at_failure_;
  int done_ = 0, soon_ = 0, stuck_ = 0;
};

// Reads what follows `launch ...` as train itself would. What is wrong with it is said here, once. An exit code where
// train's help was asked for, and has been printed.
std::optional<int> read_train(const std::vector<std::string>& command, TrainArguments& arguments) {
  Program program("rstorch", "");
  add_train_command(program.root(), arguments);
  if (const std::optional<int> code = program.parse(command)) return code;
  if (arguments.simulate_ranks == 0) return {};
  throw UsageError("--simulate-ranks makes ranks of one process, and launch starts several", "use one of them");
}

// The run of a train command. What is wrong with its config is said here, once, and not by each rank.
RunName run_of(const TrainArguments& train) {
  if (train.config == "-") {
    throw UsageError("several ranks cannot read a config from stdin", "write it to a file that all ranks can read");
  }
  const LoadedConfig loaded = load_config(train.config, train.overrides, train.size());
  const auto& run = loaded.experiment.config.run;
  return {run.dir, run.name};
}

void check_command(const Arguments& arguments) {
  if (arguments.command.empty()) {
    throw UsageError("launch wants a command: train, eval or bench", "for example: rstorch launch -n 2 train CONFIG");
  }
  const std::string& name = arguments.command[0];
  if (name.starts_with('-')) {
    throw UsageError(format("launch has no option {}", name), "`rstorch launch --help` shows what there is");
  }
  if (std::ranges::find(kCommandsOfRanks, name) == kCommandsOfRanks.end()) {
    throw UsageError(format("launch does not start `{}`", name),
                     "several ranks can train, eval or bench; options of launch come before the command");
  }
  if (arguments.max_restarts > 0 && name != "train") {
    throw UsageError(format("--max-restarts is for train: `{}` has nothing to go on from", name), "leave it out");
  }
  if (std::getenv("OMPI_COMM_WORLD_RANK")) {
    throw UsageError("launch starts mpirun, and was itself started by one", "call it without mpirun");
  }
}

// mpirun would start more ranks than it was told there is room for, on machines of its choice.
void check_slots(const RankProgram& program) {
  int slots = 0;
  for (const Host& host : program.hosts) slots += host.slots;
  if (program.hosts.empty() || program.ranks <= slots) return;
  throw UsageError(format("--hosts has slots for {} ranks, and -n asks for {}", slots, program.ranks),
                   "say how many each machine may have, as in --hosts a:4,b:4; without a number it is one");
}

std::string launch_words(const Arguments& arguments) {
  std::string text = format("launch -n {}", arguments.ranks);
  if (!arguments.hosts.empty()) text += format(" --hosts {}", arguments.hosts);
  if (arguments.max_restarts > 0) text += format(" --max-restarts {}", arguments.max_restarts);
  return text;
}

Path require_mpirun() {
  const auto mpirun = find_mpirun();
  if (!mpirun) {
    const char* const given = std::getenv("RSTORCH_MPIRUN");
    const std::string where = given && *given ? format("RSTORCH_MPIRUN is {}", given) : "it is not in PATH";
    throw UsageError(format("there is no mpirun to start ranks with: {}", where), std::string(kMpirunFix), 10);
  }
  const std::string version = mpirun_version(*mpirun);
  if (version.starts_with("Open MPI")) return *mpirun;
  throw UsageError(format("{} is not Open MPI's: {}", mpirun->string(), version.empty() ? "it does not run" : version),
                   format("name the right one in RSTORCH_MPIRUN; {}", kMpirunFix), 10);
}

// This program; tests put another one in its place.
std::string rank_program() {
  const char* const other = std::getenv("RSTORCH_LAUNCH_PROGRAM");
  return other && *other ? other : std::filesystem::read_symlink("/proc/self/exe").string();
}

std::string line_for_shell(const std::vector<std::string>& words) {
  std::string line;
  for (const auto& [name, value] : mpirun_environment()) line += format("{}={} ", name, value);
  return line + shell_line(words);
}

// Open MPI's own files, in folders that go at the end.
class OwnFolders {
 public:
  explicit OwnFolders(const RankProgram& program) {
    std::error_code none;
    const Path temporary = std::filesystem::temp_directory_path(none);
    session_.emplace(none ? Path("/tmp") : temporary);
    ::setenv(kSignalFile, (session_->path() / "signal").c_str(), 1);
    // Other machines have neither folder: mpirun alone is told, and their daemons clear up after their ranks.
    const bool here = !on_several_machines(program);
    ::setenv(here ? "OMPI_MCA_orte_tmpdir_base" : "TMPDIR", session_->path().c_str(), 1);
    if (!here || ::access("/dev/shm", W_OK | X_OK) != 0) return;
    shared_memory_.emplace("/dev/shm");
    for (const char* name : {"btl_vader", "osc_sm", "osc_rdma"}) {
      ::setenv(format("OMPI_MCA_{}_backing_directory", name).c_str(), shared_memory_->path().c_str(), 1);
    }
  }

  // Where ranks of this machine leave a note that they have said why they end.
  Path note() const { return session_->path() / "last_words"; }

 private:
  std::optional<ScratchFolder> session_, shared_memory_;
};

// How the program ends where the ranks need no restart; unset: they may.
std::optional<ExitCode> exit_code_of(const Ending& ending, const Supervisor& supervisor, const std::string& line) {
  const std::string& stopped = supervisor.stop_reason();
  if (!supervisor.kill_reason().empty()) {
    throw DistError(format("the ranks were killed at {}", supervisor.kill_reason()),
                    "`--resume` goes on from the last checkpoint", 14);
  }
  if (!stopped.empty() && ending.code == 128 + SIGUSR1) {
    logging::info(format("stopped by {} before the ranks began: nothing new was saved", stopped));
    return ExitCode::requeue;
  }
  if (is_of_ranks(ending.code) && (!may_pass(ending) || !stopped.empty())) return ExitCode(ending.code);
  if (may_pass(ending) && stopped.empty()) return {};
  throw DistError(what_happened(ending), hint_for(ending, line), 11);
}

ExitCode supervise(Supervisor& supervisor, std::vector<std::string> words, Restarts restarts, int most_restarts,
                   const Path& note) {
  ::setenv(dist::kLastWordsNote, note.c_str(), 1);
  for (;;) {
    const Ending ending = supervisor.run(words);
    std::vector<std::string> talkative = words;
    std::erase(talkative, "-q");
    const std::string line = line_for_shell(talkative);
    if (const auto code = exit_code_of(ending, supervisor, line)) {
      if (*code == ExitCode::success) check_output(supervisor.output_error());
      return *code;
    }
    if (most_restarts == 0 && is_of_ranks(ending.code)) return ExitCode(ending.code);  // the ranks have said why
    if (most_restarts == 0 && files::is_there(note)) return ExitCode::distributed;     // a rank is not there to say so
    if (most_restarts == 0) throw DistError(what_happened(ending), hint_for(ending, line), 11);
    restarts.decide(ending);
    supervisor.pause(kPause);
    if (!supervisor.stop_reason().empty()) return ExitCode::requeue;
    if (std::ranges::find(words, "--resume") == words.end()) words.emplace_back("--resume");
  }
}

ExitCode run(const Arguments& arguments) {
  check_command(arguments);
  const bool trains = arguments.command[0] == "train";
  TrainArguments train;
  if (trains) {
    if (const std::optional<int> code = read_train(arguments.command, train)) return ExitCode(*code);
  }
  RankProgram program{arguments.ranks, {}, {rank_program()}};
  if (!arguments.hosts.empty()) program.hosts = read_hosts(arguments.hosts);
  check_slots(program);
  program.command.insert(program.command.end(), arguments.command.begin(), arguments.command.end());
  const RunName name = trains ? run_of(train) : RunName();
  ::setenv(kLaunchWords, launch_words(arguments).c_str(), 1);
  const std::vector<std::string> words = mpirun_words(require_mpirun(), program);
  if (arguments.dry_run) {
    print(line_for_shell(words) + "\n");
    return ExitCode::success;
  }
  for (const auto& [variable, value] : mpirun_environment()) ::setenv(variable.c_str(), value.c_str(), 1);
  Supervisor supervisor;  // before the folders: no signal may end this process while they are there
  const OwnFolders folders(program);
  return supervise(supervisor, words, Restarts(arguments.max_restarts, name), arguments.max_restarts, folders.note());
}

}  // namespace

void add_launch(Command program, Action& action) {
  const Command command = program.add_command(
      "launch",
      "Start COMMAND (train, eval or bench, with its arguments) on several ranks under mpirun, and look after them.",
      "rstorch launch -n 4 train configs/mnist_mlp.yaml trainer.max_epochs=2");
  auto arguments = std::make_shared<Arguments>();
  command.add("-n,--ranks", arguments->ranks, "How many processes.").required().in_range(1, kMostRanks);
  command
      .add("--hosts", arguments->hosts, "Machines, with the ranks that each may have: a:2,b:2; one without a number.")
      .shown_as("HOSTS");
  command
      .add("--max-restarts", arguments->max_restarts,
           "Start train again, with --resume, after a rank or the network was lost. Default: 0.")
      .in_range(0, kMostRestarts);
  command.add_flag("--dry-run", arguments->dry_run, "Print mpirun's command line, and stop.");
  command.take_rest();
  command.when_chosen([&action, command, arguments] {
    arguments->command = command.rest();
    action = [arguments] { return run(*arguments); };
  });
}

}  // namespace rstorch::cli
