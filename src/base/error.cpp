#include "base/error.h"

namespace rstorch {

std::string Error::report() const {
  std::string out = format("error[E{:04}]: {}", code_, what());
  if (position_.known()) out += format("\n  --> {}", position_.text());
  if (!module_path_.empty()) out += format("\n   = in: {}", module_path_);
  if (!hint_.empty()) out += format("\n   = help: {}", hint_);
  return out;
}

}  // namespace rstorch
