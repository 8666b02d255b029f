// Writing values: YAML that reads back the same, the listing of `config show`, and JSON.
#pragma once

#include <string>
#include <string_view>

#include "config/value.h"

namespace rstorch::config {

// Block style, quotes only where needed, lists of scalars in flow style on one line. Ends with a newline.
// Doubles are the shortest text that reads back as the same double, and never look like integers.
std::string dump_yaml(const Value& value);

// The same, each line followed by `# configs/a.yaml:12:3`, `# default` or `# argument 1`, aligned.
std::string dump_with_origins(const Value& value);

// indent 0: one line. inf and nan, which JSON has not, become null.
std::string to_json(const Value& value, int indent = 0);

// A scalar as in dump_yaml; strings are quoted only where plain text would read as something else.
std::string yaml_scalar(const Value& value);
std::string json_string(std::string_view text);
// Shortest digits that read back as the same double: "0.001", "1e-8", "3.0".
std::string double_text(double value);

}  // namespace rstorch::config
