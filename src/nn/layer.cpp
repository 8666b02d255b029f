#include "nn/layer.h"

namespace rstorch::nn {

void Inference::size(std::string_view key, std::optional<int64_t>& argument, int axis, std::string_view unit) {
  const int at = axis < 0 ? axis + input_.dims() : axis;
  if (at < 1 || at >= input_.dims()) {  // axis 0 is the batch
    throw ShapeError(format("{} comes from an axis that the input does not have", key));
  }
  const int64_t actual = input_[at];
  if (argument && *argument != actual) {
    const bool flatten = axis < 0 && *argument == input_.slice(1, input_.dims()).numel();
    const std::string_view noun = actual == 1 ? unit.substr(0, unit.size() - 1) : unit;
    mismatch(key, format("{}, but the input here has {} {}", *argument, actual, noun),
             flatten ? format("put Flatten before it: all axes together have {} {}", *argument, unit)
                     : format("leave out {} (it is inferred) or write {}", key, actual));
  }
  argument = actual;
}

}  // namespace rstorch::nn
