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

}  // namespace

LoadedConfig load_config(const std::string& file, const std::vector<std::string>& overrides, Size size) {
  config::Report report;
  config::Value root = config::load(file, overrides, report);
  if (size == Size::smoke) root = smoke_size(std::move(root));
  LoadedConfig loaded{Experiment::read(root, report), {}};
  report.throw_if_errors();
  std::string& name = loaded.experiment.config.run.name;
  if (name.empty()) name = std::filesystem::path(file).stem().string();
  if (size == Size::smoke) name += "-smoke";
  loaded.text = given_text(file, overrides);
  return loaded;
}

}  // namespace rstorch::cli
