// The shapes that led to a layer, as errors show them: "[3, 32, 32] -> layer1 [64, 32, 32] -> Flatten [65536]".
#pragma once

#include <string>
#include <vector>

#include "base/shape.h"

namespace rstorch::nn {

class ShapeChain {
 public:
  explicit ShapeChain(const Shape& input) : links_{{"", input, Parameters::some}} {}

  enum class Parameters { none, some };
  void push(const std::string& label, const Shape& shape, Parameters parameters);
  // What was pushed since a mark becomes one link: a container is left.
  size_t mark() const { return links_.size(); }
  void fold(size_t mark, const std::string& label);
  void cut(size_t mark) { links_.resize(mark); }
  // Of neighbours with the same shape one is shown, the last that has parameters; long chains lose their middle.
  std::string text() const;

 private:
  struct Link {
    std::string label;
    Shape shape;
    Parameters parameters;
  };
  std::vector<Link> links_;
};

}  // namespace rstorch::nn
