#include "cli/scratch_folder.h"

#include <cstdlib>

#include <sys/stat.h>
#include <unistd.h>

namespace rstorch::cli {
namespace {

namespace fs = std::filesystem;
using files::Path;

constexpr std::string_view kPrefix = "rstorch-launch-";

bool is_ours(const Path& path) {
  struct stat status {};
  return ::lstat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode) && status.st_uid == ::geteuid();
}

// Not open: another process holds the folder, or it is gone.
Descriptor hold(const Path& path) try { return files::try_lock_folder(path); } catch (const Error&) {
  return {};
}

void sweep(const Path& where) {
  std::error_code ignored;
  for (const fs::directory_entry& entry : fs::directory_iterator(where, ignored)) {
    if (!entry.path().filename().string().starts_with(kPrefix) || !is_ours(entry.path())) continue;
    const Descriptor lock = hold(entry.path());
    if (lock.is_open()) fs::remove_all(entry.path(), ignored);
  }
}

}  // namespace

ScratchFolder::ScratchFolder(const Path& where) {
  sweep(where);
  // Until it is locked another launch may take it for a leftover: then once more.
  while (!lock_.is_open() || !is_ours(path_)) {
    std::string name = (where / format("{}XXXXXX", kPrefix)).string();
    if (!::mkdtemp(name.data())) files::fail("make a folder in", where);
    path_ = name;
    lock_ = hold(path_);
  }
}

ScratchFolder::~ScratchFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

}  // namespace rstorch::cli
