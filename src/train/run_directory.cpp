#include "train/run_directory.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>

#include <sys/stat.h>

#include "base/log.h"
#include "config/load.h"
#include "train/training_state.h"

namespace rstorch {
namespace {

namespace fs = std::filesystem;
using files::Path;

constexpr int kMaxRuns = 1000000;

// A run's folder is empty (it was killed at once) or has a folder of checkpoints, which is made first.
bool is_run(const Path& path) {
  std::error_code error;
  if (!fs::is_directory(path, error)) return false;
  if (fs::is_empty(path, error)) return true;
  const Path checkpoints = path / "checkpoints";
  if (!fs::is_directory(checkpoints, error)) return false;
  const std::vector<std::string> names = files::names_in(checkpoints);
  return !checkpoint_steps(checkpoints).empty() || std::ranges::all_of(names, [](const std::string& name) {
    return name.starts_with('.') || name == "last" || name == "best";
  });
}

// The number of NAME, NAME-2, NAME-3, ...; 0: another name.
int number_of(std::string_view folder, std::string_view name) {
  if (folder == name) return 1;
  if (!folder.starts_with(name)) return 0;
  folder.remove_prefix(name.size());
  int number = 0;
  std::from_chars(folder.data() + std::min<size_t>(1, folder.size()), folder.data() + folder.size(), number);
  return number > 1 && number < kMaxRuns && folder == format("-{}", number) ? number : 0;
}
Path numbered(const Path& root, const std::string& name, int number) {
  return root / (number == 1 ? name : format("{}-{}", name, number));
}

// Whether a numbered folder is of the name: a run of the name `a-2` is not the second one of the name `a`.
bool has_name(const Path& run, const std::string& name) {
  const Path file = run / "config.resolved.yaml";
  if (!files::is_there(file)) return true;
  config::Report ignored;
  const config::Value config = config::parse(files::read_text(file), file.string(), ignored);
  const config::Value* section = config.find("run");
  const config::Value* given = section ? section->find("name") : nullptr;
  return !given || *given == config::Value(name);
}

// The newest run of the name, number 0: there is none.
int last_number(const Path& root, const std::string& name) {
  int last = 0;
  if (!files::is_there(root)) return last;
  for (const std::string& folder : files::names_in(root)) {
    const int number = number_of(folder, name);
    const bool is_of_name = number == 1 || (number > last && has_name(root / folder, name));
    if (number > last && is_of_name && is_run(root / folder)) last = number;
  }
  return last;
}

// Where runs cannot be, for no fault of the disk, the config is wrong.
template <class F>
auto in_run_dir(F&& f) try {
  return f();
} catch (const files::Failure& failure) {
  constexpr std::array kOfTheDisk = {ENOSPC, EDQUOT, EIO, ENOMEM, EMFILE, ENFILE};
  if (std::ranges::find(kOfTheDisk, failure.reason()) != kOfTheDisk.end()) throw;
  throw ConfigError(format("run.dir: {}", failure.what()), "name a folder that can be made and written to",
                    int(config::Code::resource) % 100);
}

RunStart new_run(const Path& root, const std::string& name, int last, std::optional<Checkpoint> from) {
  return in_run_dir([&] {
    RunStart start{RunDirectory::make(root, name, last), std::move(from), false, false};
    files::make_folders(start.directory.checkpoints());
    return start;
  });
}

// What there is to know of the newest run of a name when another one begins.
void say_how_it_stands(const Path& run) try {
  const auto latest = latest_checkpoint(run / "checkpoints");
  if (!latest || read_training_state(*latest).finished) return;
  logging::info(format("{} is unfinished: --resume continues it. This is a new run.", run.string()));
} catch (const CheckpointError& e) {
  logging::warning(format("{} is damaged: {}. This is a new run.", run.string(), e.what()));
}

Checkpoint checkpoint_of(const Path& folder, int64_t step) {
  Checkpoint checkpoint(folder / checkpoint_name(step));
  const int64_t own = read_training_state(checkpoint).step;
  if (own == step) return checkpoint;
  throw CheckpointError(format("{} is not what its name says: it is of step {}", checkpoint.folder().string(), own));
}

RunStart continue_run(const Path& path) {
  RunDirectory directory(path);
  CheckpointStore store(directory.checkpoints());  // puts back what a killed process was replacing
  RunStart start{std::move(directory), latest_checkpoint(store.folder()), true, false};
  if (!start.from) return start;
  const TrainingState state = read_training_state(*start.from);
  store.go_on_from(state.step, state.best_step());
  start.finished = state.finished;
  return start;
}

}  // namespace

RunDirectory::RunDirectory(Path path) { hold(std::move(path)); }

void RunDirectory::hold(Path path) {
  path_ = std::move(path);
  lock_ = files::try_lock_folder(path_);
  if (lock_.is_open()) return;
  throw CheckpointError(format("{} is in use by another process", path_.string()),
                        "wait for it, stop it, or give this run another name with run.name");
}

RunDirectory RunDirectory::make(const Path& root, const std::string& name, int last) {
  RunDirectory directory;
  for (Path around = root; !around.empty() && !files::is_there(around); around = around.parent_path()) {
    directory.around_.push_back(around);
  }
  files::make_folders(root);
  for (int number = last + 1; number <= kMaxRuns; ++number) {  // other processes may be doing the same
    const Path path = numbered(root, name, number);
    if (::mkdir(path.c_str(), 0777) != 0) {
      if (errno == EEXIST) continue;
      files::fail("make the folder", path);
    }
    directory.around_.insert(directory.around_.begin(), path);  // not this process's own until it is held
    directory.lock_ = files::try_lock_folder(path);
    if (directory.lock_.is_open()) {
      directory.made_ = {path};
      directory.path_ = path;
      files::sync_folder(root);
      return directory;
    }
    directory.around_.erase(directory.around_.begin());
  }
  throw CheckpointError(format("{} and its numbered folders are all taken", (root / name).string()), "give run.name");
}

RunDirectory::~RunDirectory() {
  std::error_code ignored;
  for (const Path& folder : made_) fs::remove_all(folder, ignored);
  for (const Path& folder : around_) fs::remove(folder, ignored);  // if nothing is in it
}

RunStart start_run(const Path& root, const std::string& name, const std::string& resume) {
  const int last = in_run_dir([&] { return last_number(root, name); });
  if (resume != "auto" && resume != "never") return new_run(root, name, last, Checkpoint(resume));
  if (resume == "auto" && last > 0) return continue_run(numbered(root, name, last));
  if (last > 0) say_how_it_stands(numbered(root, name, last));
  RunStart start = new_run(root, name, last, {});
  if (resume == "auto" && start.directory.path() != root / name) {
    logging::warning(format("{} is not the folder of a run: a new run begins beside it", (root / name).string()));
  } else if (resume == "auto") {
    logging::info(format("there is no run {} to continue: a new one begins", (root / name).string()));
  }
  return start;
}

std::optional<Path> newest_run(const Path& root, const std::string& name) {
  const int last = last_number(root, name);
  return last > 0 ? std::optional<Path>(numbered(root, name, last)) : std::nullopt;
}

std::optional<Checkpoint> latest_checkpoint(const Path& checkpoints) {
  if (!files::is_there(checkpoints)) return {};
  std::vector<std::string> damaged;
  const std::vector<int64_t> steps = checkpoint_steps(checkpoints);
  for (auto step = steps.rbegin(); step != steps.rend(); ++step) {
    try {
      Checkpoint newest = checkpoint_of(checkpoints, *step);
      for (const std::string& what : damaged) logging::warning(format("{}; the one of step {} is whole", what, *step));
      return newest;
    } catch (const CheckpointError& e) {
      damaged.emplace_back(e.what());
    }
  }
  if (damaged.empty()) return {};
  throw CheckpointError(format("no checkpoint in {} can be read: {}", checkpoints.string(), join(damaged, "; ")),
                        "bring one of them back; or begin a new run, without --resume");
}

}  // namespace rstorch
