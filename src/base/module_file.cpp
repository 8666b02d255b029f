#include "base/module_file.h"

#include <cstdlib>
#include <filesystem>
#include <vector>

#include <dlfcn.h>

namespace rstorch {
namespace {

namespace fs = std::filesystem;

// Of the program, and of the library that this code is in, if it is in one.
std::vector<fs::path> own_folders() {
  std::vector<fs::path> out;
  std::error_code failed;
  if (const fs::path program = fs::read_symlink("/proc/self/exe", failed); !failed)
    out.push_back(program.parent_path());
  Dl_info info = {};
  if (dladdr(reinterpret_cast<const void*>(&module_path), &info) != 0 && info.dli_fname != nullptr) {
    const fs::path library = fs::canonical(info.dli_fname, failed);
    if (!failed && library.parent_path() != (out.empty() ? fs::path() : out[0])) out.push_back(library.parent_path());
  }
  return out;
}

}  // namespace

std::string module_path(const char* file, const char* variable, const char* build_folder) {
  if (const char* path = std::getenv(variable)) return path;
  std::error_code failed;
  for (const fs::path& own : own_folders()) {
    // Beside it; installed, from bin, lib and lib/x86_64-linux-gnu; built.
    for (const fs::path& folder : {fs::path("."), fs::path("../lib/rstorch"), fs::path("rstorch"),
                                   fs::path("../rstorch"), fs::path(build_folder), fs::path("../..") / build_folder}) {
      const fs::path candidate = own / folder / file;
      if (fs::exists(candidate, failed)) return candidate.lexically_normal().string();
    }
  }
  return file;
}

}  // namespace rstorch
