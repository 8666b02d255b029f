// The folder of a run, and the rules by which a new run gets its own and an unfinished one is continued (CONFIG section
// 6).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "train/checkpoint.h"
#include "train/files.h"

namespace rstorch {

// Held by this process as long as it lives: another one that wants to write there is refused.
class RunDirectory {
 public:
  // One that is there. Throws CheckpointError where another process holds it.
  explicit RunDirectory(files::Path path);
  // A new one: the first of the name's numbered folders that is free behind number `last`.
  static RunDirectory make(const files::Path& root, const std::string& name, int last);
  RunDirectory(RunDirectory&&) = default;
  ~RunDirectory();

  // The run has begun. Until this is said, a new folder goes again with this object.
  void keep() {
    made_.clear();
    around_.clear();
  }

  const files::Path& path() const { return path_; }
  files::Path checkpoints() const { return path_ / "checkpoints"; }

 private:
  RunDirectory() = default;
  void hold(files::Path path);

  files::Path path_;
  Descriptor lock_;
  std::vector<files::Path> made_;    // the run's folder, where it is new
  std::vector<files::Path> around_;  // those around it that were not there, from the inside
};

struct RunStart {
  RunDirectory directory;
  std::optional<Checkpoint> from;  // where to go on; unset: from the beginning
  bool continued = false;          // the folder was there: its files are cut back to `from`
  bool finished = false;           // it had come to its end; the config may now want more
};

// `resume`: never, auto, or the path of a checkpoint. Says in the log what it found and chose. Throws ConfigError where
// nothing can be made in `root`.
RunStart start_run(const files::Path& root, const std::string& name, const std::string& resume);

// The newest run of a name, where there is one.
std::optional<files::Path> newest_run(const files::Path& root, const std::string& name);

// The newest checkpoint of a folder of checkpoints that is complete. Damaged ones are skipped with a warning; throws
// CheckpointError where all are damaged.
std::optional<Checkpoint> latest_checkpoint(const files::Path& checkpoints);

}  // namespace rstorch
