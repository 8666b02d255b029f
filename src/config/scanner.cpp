#include "config/scanner.h"

namespace rstorch::config {

size_t Scanner::content_end(size_t at) const {
  size_t end = line_end(at);
  const size_t comment = text_.substr(0, end).find(" #", at);
  if (comment != std::string_view::npos) end = comment;
  while (end > at && text_[end - 1] == ' ') --end;
  return end;
}

size_t Scanner::skip_properties(size_t at) const {
  while (at < text_.size() && (text_[at] == '&' || text_[at] == '!')) {
    at = std::min(text_.find_first_of(" \n,]}", at), text_.size());
    at = std::min(text_.find_first_not_of(" \n", at), text_.size());
  }
  return at;
}

std::optional<size_t> Scanner::quote_close(size_t at, size_t end) const {
  const char quote = text_[at];
  for (size_t i = at + 1; i < end; ++i) {
    if (quote == '"' && text_[i] == '\\') {
      ++i;
    } else if (text_[i] == quote) {
      if (quote != '\'' || i + 1 >= end || text_[i + 1] != '\'') return i + 1;
      ++i;
    }
  }
  return std::nullopt;
}

size_t Scanner::quote_end(size_t at) const { return quote_close(at, line_end(at)).value_or(line_end(at)); }

Span Scanner::scalar(size_t at, const std::string& value, bool quoted) const {
  if (at >= text_.size()) return span(text_.size(), text_.size());
  if (quoted && is_quote(at)) return span(at, quote_end(at));
  if (quoted && (text_[at] == '|' || text_[at] == '>')) return span(at, content_end(at));
  if (text_.substr(at).starts_with(value)) return span(at, at + value.size());
  return span(at, content_end(at));  // over several lines
}

Span Scanner::flow(size_t at) const {
  const size_t end = line_end(at);
  size_t depth = 0;
  for (size_t i = at; i < end; ++i) {
    const char c = text_[i];
    const char before = i > at ? text_[i - 1] : ' ';
    if ((c == '"' || c == '\'') && std::string_view(" [{,:").find(before) != std::string_view::npos) {
      i = quote_end(i) - 1;
    } else if (c == '[' || c == '{') {
      ++depth;
    } else if ((c == ']' || c == '}') && --depth == 0) {
      return span(at, i + 1);
    }
  }
  return span(at, content_end(at));
}

Span Scanner::word(size_t at) const { return span(at, std::min(text_.find_first_of(" \n,]}", at + 1), text_.size())); }

}  // namespace rstorch::config
