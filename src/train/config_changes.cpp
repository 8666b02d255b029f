#include "train/config_changes.h"

#include <algorithm>
#include <string_view>

namespace rstorch {
namespace {

using config::Value;

constexpr std::string_view kFree[] = {"run", "checkpoint", "logging", "distributed", "expect", "trainer.max_time"};

void collect(const Value* before, const Value* now, std::vector<std::string>& out) {
  const std::string path = (now ? now : before)->path();
  if (std::find(std::begin(kFree), std::end(kFree), path) != std::end(kFree)) return;
  if (before && now && *before == *now) return;
  if (!before || !now || !before->is_map() || !now->is_map()) {
    out.push_back(path);
    return;
  }
  for (const Value& entry : now->items()) collect(before->find(entry.key()), &entry, out);
  for (const Value& entry : before->items()) {
    if (!now->has(entry.key())) collect(&entry, nullptr, out);
  }
}

}  // namespace

std::vector<std::string> config_changes(const Value& before, const Value& now) {
  std::vector<std::string> changed;
  collect(&before, &now, changed);
  return changed;
}

}  // namespace rstorch
