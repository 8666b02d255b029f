#include "base/module_file.h"

#include <cstdlib>
#include <filesystem>

namespace rstorch {

std::string module_path(const char* file, const char* variable, const char* build_folder) {
  namespace fs = std::filesystem;
  if (const char* path = std::getenv(variable)) return path;
  std::error_code failed;
  const fs::path program = fs::read_symlink("/proc/self/exe", failed);
  if (failed) return file;
  for (const fs::path& folder :
       {fs::path("."), fs::path("../lib/rstorch"), fs::path(build_folder), fs::path("../..") / build_folder}) {
    const fs::path candidate = program.parent_path() / folder / file;
    if (fs::exists(candidate, failed)) return candidate.lexically_normal().string();
  }
  return file;
}

}  // namespace rstorch
