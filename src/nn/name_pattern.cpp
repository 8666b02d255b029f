#include "nn/name_pattern.h"

#include <algorithm>
#include <regex>

namespace rstorch::nn {

using config::Code;

std::optional<NamePattern> NamePattern::read(const config::Value& value, config::Report& report) {
  if (value.is_broken()) return std::nullopt;
  if (!value.is_string()) {
    report.error(Code::wrong_type, format("`{}` wants a regular expression, not {}", value.path(), value.kind_text()))
        .at(value)
        .help("write match: \".*bias\"");
    return std::nullopt;
  }
  try {
    return NamePattern(value, [regex = std::regex(value.as_string())](const std::string& name) {
      return std::regex_match(name, regex);
    });
  } catch (const std::regex_error& error) {
    report.error(Code::pattern, format("`{}` is not a regular expression", value.as_string()))
        .at(value)
        .label(error.code() == std::regex_constants::error_badrepeat || value.as_string().starts_with('*')
                   ? "`*` has nothing to repeat: `.*` stands for any text"
                   : error.what())
        .help("names are matched as a whole: \".*bias\", \"fc[12]\\\\..*\"");
    return std::nullopt;
  }
}

void NamePattern::report_unmatched(const std::vector<NamedTensor>& names, config::Report& report) const {
  constexpr size_t limit = 6;
  std::string list;
  for (size_t i = 0; i < std::min(limit, names.size()); ++i) list += (i ? ", " : "") + names[i].name;
  if (names.size() > limit) list += format(", ... ({} in all)", names.size());
  report.error(Code::pattern, format("`{}` matches no parameter", value_.as_string()))
      .at(value_)
      .help("the whole name must match; begin with .* to match its end")
      .line("names", list.empty() ? "there are none" : list);
}

}  // namespace rstorch::nn
