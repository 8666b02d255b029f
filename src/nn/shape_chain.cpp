#include "nn/shape_chain.h"

#include <algorithm>

#include "base/format.h"

namespace rstorch::nn {

void ShapeChain::push(const std::string& label, const Shape& shape, Parameters parameters) {
  links_.push_back({label, shape, parameters});
}

void ShapeChain::fold(size_t mark, const std::string& label) {
  const Shape last = links_.back().shape;
  const bool some = std::any_of(links_.begin() + std::ptrdiff_t(mark), links_.end(),
                                [](const Link& link) { return link.parameters == Parameters::some; });
  cut(mark);
  push(label, last, some ? Parameters::some : Parameters::none);
}

std::string ShapeChain::text() const {
  constexpr size_t limit = 8;
  std::vector<std::string> parts;
  parts.push_back(links_[0].shape.text());  // the input
  for (size_t i = 1; i < links_.size();) {
    size_t shown = i;
    for (const Shape& shape = links_[i].shape; i < links_.size() && links_[i].shape == shape; ++i) {
      if (links_[i].parameters == Parameters::some) shown = i;
    }
    parts.push_back(links_[shown].label + " " + links_[shown].shape.text());
  }
  if (parts.size() > limit) {
    parts.erase(parts.begin() + 1, parts.end() - std::ptrdiff_t(limit - 2));
    parts.insert(parts.begin() + 1, "...");
  }
  return join(parts, " -> ");
}

}  // namespace rstorch::nn
