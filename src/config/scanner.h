// Private to src/config: where the parts of a YAML text end. yaml-cpp's events say only where they begin.
#pragma once

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "config/report.h"
#include "config/source.h"

namespace rstorch::config {

class Scanner {
 public:
  explicit Scanner(std::shared_ptr<const Source> source) : source_(std::move(source)), text_(source_->text()) {}

  std::string_view text() const { return text_; }
  const std::shared_ptr<const Source>& source() const { return source_; }
  Span span(size_t begin, size_t end) const {
    begin = std::min(begin, text_.size());
    end = std::clamp(end, begin, text_.size());
    return {source_, static_cast<uint32_t>(begin), static_cast<uint32_t>(end - begin)};
  }
  size_t line_end(size_t at) const { return std::min(text_.find('\n', at), text_.size()); }
  // The end of the line without a comment and blanks.
  size_t content_end(size_t at) const;
  // Past anchors and tags: the node itself.
  size_t skip_properties(size_t at) const;
  Span scalar(size_t at, const std::string& value, bool quoted) const;
  Span flow(size_t at) const;
  Span block(size_t at) const { return span(at, content_end(at)); }
  Span word(size_t at) const;  // `*name`
  bool is_quote(size_t at) const { return at < text_.size() && (text_[at] == '"' || text_[at] == '\''); }
  // Behind the closing quote of a text that begins at `at`, which may go over lines; nothing when there is none.
  std::optional<size_t> quote_close(size_t at, size_t end) const;

 private:
  size_t quote_end(size_t at) const;
  std::shared_ptr<const Source> source_;
  std::string_view text_;
};

// How far a parse had come when the grammar broke.
struct Break {
  size_t at = 0;                       // where yaml-cpp noticed
  size_t last_end = 0;                 // behind the last complete text
  std::optional<size_t> last_quote;    // the last text, if its quotes are in different lines
  std::optional<size_t> open_bracket;  // the innermost `{` or `[` that is still open
};

// yaml-cpp's message in words that help, at the place that most likely caused it.
void report_syntax(std::string_view message, const Break& where, const Scanner& scan, Report& report);
// A quote or bracket without its closing one.
void report_unclosed(size_t at, const Scanner& scan, Report& report, const std::string& hint = {});

}  // namespace rstorch::config
