#include "cli/explain.h"

#include <algorithm>

#include <sys/ioctl.h>
#include <unistd.h>

#include "config/suggest.h"
#include "data/data.h"
#include "nn/builder.h"
#include "train/run_config.h"

namespace rstorch::cli {
namespace {

using config::FieldInfo;
using config::StructInfo;

// The sections whose keys are described by another struct than the config as a whole.
struct Section {
  std::string_view name;
  const StructInfo& (*fields)();
};
constexpr Section kSections[] = {{"data", &config::describe<data::DataConfig>},
                                 {"model", &config::describe<nn::ModelConfig>}};

// Columns of the terminal, as far as they serve reading.
size_t help_width() {
  winsize size{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return config::kHelpWidth;
  return std::clamp<size_t>(size.ws_col, 60, 140);
}

std::vector<std::string> split(const std::string& path) {
  std::vector<std::string> parts;
  for (size_t begin = 0; begin <= path.size();) {
    const size_t end = std::min(path.find('.', begin), path.size());
    parts.push_back(path.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

// The kinds that a section names.
std::string kinds_text(const std::string& section) {
  for (const KindList& list : all_kinds()) {
    if (list.section == section) return format("\n{}:\n{}\n", list.plural, config::help_list(*list.table));
  }
  return {};
}

std::string field_text(const FieldInfo& field, const std::string& path, size_t width,
                       const StructInfo* inner = nullptr) {
  std::string text = config::help_text(field, path, width) + "\n";
  return inner ? text + "\n" + config::help_table(*inner, width) + "\n" : text;
}

std::string explain_field(const std::string& path, size_t width) {
  if (const FieldInfo* field = config::describe<RunConfig>().find(path)) {
    const StructInfo* inner = nullptr;  // of what the config as a whole calls any value
    for (const Section& section : kSections) {
      if (path == section.name) inner = &section.fields();
    }
    return field_text(*field, path, width, inner);
  }
  for (const Section& section : kSections) {
    const std::string prefix = std::string(section.name) + ".";
    if (!path.starts_with(prefix)) continue;
    const FieldInfo* field = section.fields().find(path.substr(prefix.size()));
    if (field) return field_text(*field, path, width);
  }
  return {};
}

// The first part of the path that names a kind, and what comes behind it in that kind's config.
std::string explain_kind(const std::string& path, size_t width) {
  const std::vector<std::string> parts = split(path);
  for (size_t i = 0; i < parts.size(); ++i) {
    for (const KindList& list : all_kinds()) {
      const config::Kind* kind = list.table->find(parts[i]);
      if (!kind) continue;
      if (i + 1 == parts.size()) return config::help_text(list.table->noun, *kind, width) + "\n";
      std::string rest = parts[i + 1];
      for (size_t k = i + 2; k < parts.size(); ++k) rest += "." + parts[k];
      if (const FieldInfo* field = kind->fields().find(rest)) return config::help_text(*field, path, width) + "\n";
    }
  }
  return {};
}

// Sections, their keys, and the names of all kinds.
std::vector<std::string> known_names() {
  std::vector<std::string> names;
  const auto add = [&names](const std::string& prefix, const StructInfo& info) {
    for (const FieldInfo& field : info.fields) names.push_back(prefix + field.name);
  };
  add("", config::describe<RunConfig>());
  for (const Section& section : kSections) add(std::string(section.name) + ".", section.fields());
  for (const FieldInfo& field : config::describe<RunConfig>().fields) {
    if (field.type.fields) add(field.name + ".", field.type.fields());
  }
  for (const KindList& list : all_kinds()) {
    for (const config::Kind* kind : list.table->kinds) names.emplace_back(kind->name);
  }
  return names;
}

// A key of the kinds that a section names: `optimizer.lr`, once for each kind that has it.
std::string explain_key_of_kinds(const std::string& path, size_t width) {
  std::string text;
  for (const KindList& list : all_kinds()) {
    if (!path.starts_with(std::string(list.section) + ".")) continue;
    const std::string key = path.substr(list.section.size() + 1);
    for (const config::Kind* kind : list.table->kinds) {
      const FieldInfo* field = kind->fields().find(key);
      if (field) text += config::help_text(*field, format("{}.{} of {}", list.section, key, kind->name), width) + "\n";
    }
  }
  return text;
}

}  // namespace

std::string explain(const std::string& path) {
  const size_t width = help_width();
  if (path.empty()) return config::help_table(config::describe<RunConfig>(), width) + "\n";
  if (const std::string text = explain_field(path, width); !text.empty()) return text + kinds_text(path);
  if (std::string text = explain_kind(path, width); !text.empty()) return text;
  if (std::string text = explain_key_of_kinds(path, width); !text.empty()) return text;
  const std::vector<std::string> names = known_names();
  const std::vector<std::string_view> known(names.begin(), names.end());
  const auto inside = std::ranges::find_if(names, [&](const auto& name) { return name.ends_with("." + path); });
  const auto near = inside != names.end() ? std::optional(*inside) : config::nearest(path, known);
  throw UsageError(format("there is no key or kind `{}`", path),
                   near ? format("did you mean `{}`?", *near)
                        : "`rstorch config explain` without a name shows the sections, `rstorch list` the kinds");
}

}  // namespace rstorch::cli
