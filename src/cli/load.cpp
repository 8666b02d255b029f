#include "cli/load.h"

#include <filesystem>

#include "config/load.h"
#include "train/files.h"

namespace rstorch::cli {
namespace {

std::string given_text(const std::string& file, const std::vector<std::string>& overrides) {
  std::string text = files::read_text(file);
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
  config::Value root = config::load(file, overrides, report);
  if (size == Size::smoke) root = smoke_size(std::move(root));
  name_run(root, file, size);
  LoadedConfig loaded{Experiment::read(root, report), {}};
  report.throw_if_errors();
  loaded.text = given_text(file, overrides);
  return loaded;
}

}  // namespace rstorch::cli
