#include "cli/load.h"

#include <filesystem>
#include <fstream>

#include "config/load.h"
#include "train/files.h"

namespace rstorch::cli {
namespace {

// What can be read only once: stdin (`-`), a pipe. No more of it than shows that it is too large.
std::optional<std::string> text_of_pipe(const std::string& file) {
  std::error_code ignored;
  if (file != "-" && !std::filesystem::is_fifo(file, ignored)) return {};
  std::ifstream in(file == "-" ? "/dev/stdin" : file, std::ios::binary);
  std::string text(config::max_bytes + 1, '\0');
  in.read(text.data(), std::streamsize(text.size()));
  text.resize(size_t(in.gcount()));
  return text;
}

std::string with_overrides(std::string text, const std::vector<std::string>& overrides) {
  if (overrides.empty()) return text;
  if (!text.ends_with('\n')) text += '\n';
  text += "\n# On the command line:\n";
  for (const std::string& override : overrides) text += "#   " + override + "\n";
  return text;
}

// A run without a name has the file's.
void name_run(config::Value& root, const std::string& file, Size size) {
  if (!root.is_map()) return;
  if (!root.has("run")) root.set("run", config::Value::map());
  config::Value& run = *root.find("run");
  if (!run.is_map()) return;
  const config::Value* given = run.find("name");
  if (given && !given->is_string()) return;
  std::string name = given ? given->as_string() : std::filesystem::path(file).stem().string();
  if (size == Size::smoke) name += "-smoke";
  if (!given || size == Size::smoke) run.set("name", name);
}

}  // namespace

LoadedConfig load_config(const std::string& file, const std::vector<std::string>& overrides, Size size) {
  config::Report report;
  const std::optional<std::string> piped = text_of_pipe(file);
  config::Value root = piped ? config::load_text(*piped, file == "-" ? "stdin" : file, overrides, report)
                             : config::load(file, overrides, report);
  name_run(root, piped ? "run" : file, size);
  LoadedConfig loaded{Experiment::read(root, report), {}};
  report.throw_if_errors();
  if (size == Size::smoke) {
    loaded.experiment = Experiment::read(smoke_size(std::move(root)), report);
    report.throw_if_errors();
  }
  loaded.text = with_overrides(piped ? *piped : files::read_text(file), overrides);
  return loaded;
}

}  // namespace rstorch::cli
