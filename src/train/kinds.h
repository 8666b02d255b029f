// Every table of kinds that a config can name, for help, schema and lists.
#pragma once

#include <string_view>
#include <vector>

#include "config/registry.h"

namespace rstorch {

const config::KindTable& layer_kinds();
const config::KindTable& initializer_kinds();
const config::KindTable& loss_kinds();
const config::KindTable& optimizer_kinds();
const config::KindTable& schedule_kinds();

struct KindList {
  std::string_view plural;   // "layers": what `rstorch list` takes
  std::string_view section;  // where a config names them: "model.layers"
  const config::KindTable* table;
};
std::vector<KindList> all_kinds();

}  // namespace rstorch
