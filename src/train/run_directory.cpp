#include "train/run_directory.h"

#include <cerrno>

#include <sys/stat.h>

#include "base/log.h"
#include "train/training_state.h"

namespace rstorch {
namespace {

using files::Path;

constexpr int kMaxRuns = 10000;

// NAME, NAME-2, NAME-3, ...
Path numbered(const Path& root, const std::string& name, int number) {
  return root / (number == 1 ? name : format("{}-{}", name, number));
}

bool is_finished(const Path& run) {
  const auto latest = latest_checkpoint(run / "checkpoints");
  return latest && read_training_state(*latest).finished;
}

// Makes the first folder of the name that is free; other processes may be doing the same.
Path make_folder(const Path& root, const std::string& name) {
  files::make_folders(root);
  for (int number = 1; number < kMaxRuns; ++number) {
    const Path path = numbered(root, name, number);
    if (::mkdir(path.c_str(), 0777) == 0) return path;
    if (errno != EEXIST) files::fail("make the folder", path);
  }
  throw CheckpointError(format("{} and its numbered folders are all taken", (root / name).string()), "give run.name");
}

// The newest folder of the name, number 0: there is none.
int last_number(const Path& root, const std::string& name) {
  int number = 0;
  while (files::is_there(numbered(root, name, number + 1))) ++number;
  return number;
}

RunStart new_run(const Path& root, const std::string& name, std::optional<Checkpoint> from) {
  return {RunDirectory(make_folder(root, name)), std::move(from), false, false};
}

RunStart continue_run(const Path& path) {
  RunStart start{RunDirectory(path), latest_checkpoint(path / "checkpoints"), true, false};
  start.finished = start.from && read_training_state(*start.from).finished;
  return start;
}

}  // namespace

RunDirectory::RunDirectory(Path path) : path_(std::move(path)), lock_(files::try_lock_folder(path_)) {
  if (lock_.is_open()) return;
  throw CheckpointError(format("{} is in use by another process", path_.string()),
                        "wait for it, stop it, or give this run another name with run.name");
}

RunStart start_run(const Path& root, const std::string& name, const std::string& resume) {
  const int last = last_number(root, name);
  if (resume == "auto") return last > 0 ? continue_run(numbered(root, name, last)) : new_run(root, name, {});
  if (resume != "never") return new_run(root, name, Checkpoint(resume));
  if (last > 0 && !is_finished(numbered(root, name, last))) {
    logging::info(
        format("{} is unfinished: --resume continues it. This is a new run.", numbered(root, name, last).string()));
  }
  return new_run(root, name, {});
}

std::optional<Checkpoint> latest_checkpoint(const Path& checkpoints) {
  if (!files::is_there(checkpoints)) return {};
  const std::vector<int64_t> steps = checkpoint_steps(checkpoints);
  for (auto step = steps.rbegin(); step != steps.rend(); ++step) {
    try {
      return Checkpoint(checkpoints / checkpoint_name(*step));
    } catch (const CheckpointError& e) {
      logging::warning(format("{}; an earlier checkpoint is used", e.what()));
    }
  }
  return {};
}

}  // namespace rstorch
