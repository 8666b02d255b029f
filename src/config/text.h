// Private to src/config: the first stage of reading, from bytes to a text that every later stage can trust.
#pragma once

#include <memory>
#include <string>

#include "config/report.h"
#include "config/source.h"

namespace rstorch::config {

// The text without BOM and with LF line ends; nullptr when it was reported: too long, not UTF-8, control characters,
// tabs in the indentation.
std::shared_ptr<const Source> checked_source(std::string text, const std::string& name, Origin origin, Report& report);

// The YAML that begins at a byte of a source and goes on to its end. Broken when it was reported.
Value parse_yaml(const std::shared_ptr<const Source>& source, size_t begin, Report& report);

}  // namespace rstorch::config
