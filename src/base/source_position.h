// A place in a text that a user wrote: a YAML file, or an override on the command line.
#pragma once

#include <string>

namespace rstorch {

struct SourcePosition {
  std::string file;  // path as the user gave it; "argument 3" for a command-line override
  int line = 0;      // from 1; 0: unknown
  int column = 0;    // from 1; 0: unknown

  bool known() const { return !file.empty(); }
  // "configs/mlp.yaml:12:5"
  std::string text() const {
    std::string out = file;
    if (line > 0) out.append(":").append(std::to_string(line));
    if (line > 0 && column > 0) out.append(":").append(std::to_string(column));
    return out;
  }
};

}  // namespace rstorch
