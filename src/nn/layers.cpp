#include "nn/layers.h"

namespace rstorch::nn {
namespace {

template <class... Layers>
consteval auto table_of(LayerList<Layers...>) {
  return std::array{LayerRegistry::entry<LayerSpecOf<Layers>>(Layers::kind, Layers::help)...};
}
constexpr auto table = table_of(AllLayers{});

}  // namespace

const LayerRegistry& layers() {
  static constexpr LayerRegistry registry("layer", table);
  return registry;
}

}  // namespace rstorch::nn
