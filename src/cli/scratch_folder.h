// A folder for what lives as long as a launch: Open MPI's session files and shared memory.
#pragma once

#include <optional>

#include "train/files.h"

namespace rstorch::cli {

// Made in a folder such as /tmp, under a name that nobody else has; removed with all that is in it at the end. What
// launches left that could not do so (kill -9) goes when the next one makes its own there: a living one holds a lock.
class ScratchFolder {
 public:
  explicit ScratchFolder(const files::Path& where);
  ~ScratchFolder();
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;

  const files::Path& path() const { return path_; }

 private:
  files::Path path_;
  Descriptor lock_;
};

}  // namespace rstorch::cli
