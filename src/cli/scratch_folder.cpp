#include "cli/scratch_folder.h"

#include <chrono>
#include <cstdlib>

#include <sys/stat.h>
#include <unistd.h>

namespace rstorch::cli {
namespace {

namespace fs = std::filesystem;
using files::Path;

constexpr std::string_view kPrefix = "rstorch-launch-";

// Ours, and older than the moment that a launch needs to lock what it has made.
bool may_be_left_over(const Path& path) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0 || !S_ISDIR(status.st_mode) || status.st_uid != ::geteuid()) return false;
  return std::time(nullptr) - status.st_ctime > 2;
}

void sweep(const Path& where) {
  std::error_code ignored;
  for (const fs::directory_entry& entry : fs::directory_iterator(where, ignored)) {
    if (!entry.path().filename().string().starts_with(kPrefix) || !may_be_left_over(entry.path())) continue;
    try {
      const files::Descriptor lock = files::try_lock_folder(entry.path());
      if (lock.is_open()) fs::remove_all(entry.path(), ignored);
    } catch (const Error&) {  // another launch was faster
    }
  }
}

}  // namespace

ScratchFolder::ScratchFolder(const Path& where) {
  sweep(where);
  std::string name = (where / format("{}XXXXXX", kPrefix)).string();
  if (!::mkdtemp(name.data())) files::fail("make a folder in", where);
  path_ = name;
  lock_ = files::try_lock_folder(path_);
}

ScratchFolder::~ScratchFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

}  // namespace rstorch::cli
