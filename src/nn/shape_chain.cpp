#include "nn/shape_chain.h"

#include "base/format.h"

namespace rstorch::nn {

void ShapeChain::push(const std::string& label, const Shape& shape) { links_.push_back({label, shape}); }

void ShapeChain::fold(size_t mark, const std::string& label) {
  const Shape last = links_.back().shape;
  cut(mark);
  push(label, last);
}

std::string ShapeChain::text() const {
  constexpr size_t limit = 8;
  std::vector<std::string> parts;
  for (size_t i = 0; i < links_.size(); ++i) {
    const bool repeats = i > 0 && i + 1 < links_.size() && links_[i].shape == links_[i + 1].shape;
    if (repeats) continue;
    const std::string shape = links_[i].shape.text();
    parts.push_back(links_[i].label.empty() ? shape : links_[i].label + " " + shape);
  }
  if (parts.size() > limit) {
    parts.erase(parts.begin() + 1, parts.end() - std::ptrdiff_t(limit - 2));
    parts.insert(parts.begin() + 1, "...");
  }
  return format("{}", join(parts, " -> "));
}

}  // namespace rstorch::nn
