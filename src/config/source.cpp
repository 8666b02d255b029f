#include "config/source.h"

#include <algorithm>

namespace rstorch::config {

Source::Source(Origin origin, std::string name, std::string text)
    : origin_(origin), name_(std::move(name)), text_(std::move(text)), lines_{0} {
  for (size_t i = 0; i < text_.size(); ++i) {
    if (text_[i] == '\n') lines_.push_back(i + 1);
  }
}

size_t Source::line_of(size_t offset) const {
  const auto after = std::upper_bound(lines_.begin(), lines_.end(), offset);
  return static_cast<size_t>(after - lines_.begin()) - 1;
}

std::string_view Source::line_text(size_t line) const {
  const size_t begin = lines_[line];
  const size_t end = line + 1 < lines_.size() ? lines_[line + 1] - 1 : text_.size();
  return std::string_view(text_).substr(begin, end - begin);
}

size_t Source::column_of(size_t offset) const {
  const size_t begin = lines_[line_of(offset)];
  const auto is_first_byte = [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; };
  return static_cast<size_t>(std::count_if(text_.begin() + static_cast<std::ptrdiff_t>(begin),
                                           text_.begin() + static_cast<std::ptrdiff_t>(std::min(offset, text_.size())),
                                           is_first_byte));
}

std::string_view Span::text() const {
  return source ? std::string_view(source->text()).substr(begin, length) : std::string_view();
}

SourcePosition Span::position() const {
  if (!source) return {};
  if (source->origin() == Origin::argument) return {source->name(), 0, 0};
  return {source->name(), static_cast<int>(source->line_of(begin)) + 1, static_cast<int>(source->column_of(begin)) + 1};
}

std::string Span::where() const { return source ? position().text() : "default"; }

}  // namespace rstorch::config
