// Where a config value was written: a text that is kept as long as any value points into it, and a range of its bytes.
//
// Line starts are found once per text; line and column are worked out only when an error or a comment is printed.
// Sources and spans never change once made, so any thread may read them. (A shared_ptr, because values are copied
// freely and each must keep the text of its file alive for the caret under it.)
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/source_position.h"

namespace rstorch::config {

// Who set a value. Defaults have no source and so no span.
enum class Origin {
  fallback,  // the default in the code
  file,      // the config file that the user named
  base,      // a file reached through `extends`
  argument,  // an override on the command line
};

class Source {
 public:
  Source(Origin origin, std::string name, std::string text);

  Origin origin() const { return origin_; }
  const std::string& name() const { return name_; }  // path as given; "argument 3" for an override
  const std::string& text() const { return text_; }

  size_t line_of(size_t offset) const;  // from 0
  size_t line_begin(size_t line) const { return lines_[line]; }
  std::string_view line_text(size_t line) const;  // without its line feed
  size_t column_of(size_t offset) const;          // from 0, in characters (not bytes)

 private:
  Origin origin_;
  std::string name_;
  std::string text_;
  std::vector<size_t> lines_;  // where each line begins
};

struct Span {
  std::shared_ptr<const Source> source;
  uint32_t begin = 0;   // bytes
  uint32_t length = 0;  // bytes

  bool known() const { return source != nullptr; }
  Origin origin() const { return source ? source->origin() : Origin::fallback; }
  std::string_view text() const;
  SourcePosition position() const;  // line and column from 1
  // "configs/a.yaml:12:3", "argument 2", "default"
  std::string where() const;
};

}  // namespace rstorch::config
