#include "config/report.h"

#include <algorithm>
#include <set>
#include <tuple>

namespace rstorch::config {
namespace {

constexpr size_t excerpt_width = 112;

size_t characters(std::string_view text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

// Bytes [begin, end) of a text, moved to the borders of characters.
std::string_view cut(std::string_view text, size_t begin, size_t end) {
  const auto inside = [&](size_t i) { return i < text.size() && (static_cast<unsigned char>(text[i]) & 0xC0) == 0x80; };
  while (inside(begin)) ++begin;
  end = std::min(end, text.size());
  while (inside(end)) --end;
  return text.substr(begin, end - begin);
}

// The line that holds the span, and the carets under it; long lines are cut around the carets.
struct Excerpt {
  std::string line;
  std::string carets;
};

Excerpt excerpt(const Span& span) {
  const Source& source = *span.source;
  const size_t row = source.line_of(span.begin);
  const std::string_view line = source.line_text(row);
  const size_t begin = std::min<size_t>(span.begin - source.line_begin(row), line.size());
  const size_t end = std::min<size_t>(begin + span.length, line.size());

  size_t from = 0;
  if (line.size() > excerpt_width && begin > excerpt_width / 2) from = begin - excerpt_width / 2;
  const std::string_view before = cut(line, from, begin);
  const std::string_view marked = cut(line, begin, std::max(begin, std::min(end, from + excerpt_width)));
  const std::string_view after = cut(line, end, std::max(end, from + excerpt_width));

  Excerpt out;
  const std::string head = from > 0 ? "..." : "";
  const std::string tail = from + excerpt_width < line.size() ? "..." : "";
  out.line = head + std::string(before) + std::string(marked) + std::string(after) + tail;
  std::replace(out.line.begin(), out.line.end(), '\t', ' ');
  out.line.erase(out.line.find_last_not_of(' ') + 1);
  out.carets =
      std::string(head.size() + characters(before), ' ') + std::string(std::max<size_t>(1, characters(marked)), '^');
  return out;
}

// A text of several lines behind "= head: ": later lines stand under the first.
std::string indented(const std::string& text, size_t indent) {
  std::string out;
  for (const char c : text) {
    out += c;
    if (c == '\n') out.append(indent, ' ');
  }
  return out;
}

// The user's file, the files below it by name, arguments, errors without a place.
auto order(const Diagnostic& d) {
  const Span& span = d.span();
  const int group = !span.known() ? 3 : span.origin() == Origin::argument ? 2 : span.origin() == Origin::base ? 1 : 0;
  return std::tuple(group, span.known() ? span.source->name() : std::string(), span.begin);
}

}  // namespace

Diagnostic& Diagnostic::at(const Value& value) {
  const bool block = !value.is_scalar() && !value.is_flow();
  span_ = block && value.key_span().known() ? value.key_span() : value.span();
  if (!span_.known()) span_ = value.key_span();
  if (!value.note().empty()) note(value.note());
  return *this;
}

Diagnostic& Diagnostic::key(const Value& value) {
  if (!value.key_span().known()) return at(value);
  span_ = value.key_span();
  return *this;
}

Diagnostic& Diagnostic::entry(const Value& value) {
  at(value);
  const bool block = !value.is_scalar() && !value.is_flow();
  if (!block && value.key_span().known()) span_ = value.entry_span();
  return *this;
}

Diagnostic& Diagnostic::at(Span span) {
  span_ = std::move(span);
  return *this;
}

Diagnostic& Diagnostic::label(std::string text) {
  label_ = std::move(text);
  return *this;
}

Diagnostic& Diagnostic::help(std::string text) { return line("help", std::move(text)); }
Diagnostic& Diagnostic::note(std::string text) { return line("note", std::move(text)); }

Diagnostic& Diagnostic::line(std::string_view head, std::string text) {
  if (!text.empty()) lines_.emplace_back(head, std::move(text));
  return *this;
}

std::string Diagnostic::render() const {
  std::string out = format("error[E{:04}]: {}", static_cast<int>(code_), message_);
  size_t gutter = 2;
  if (span_.known() && span_.origin() == Origin::argument) {
    const Excerpt shown = excerpt(span_);
    const std::string head = format("  --> {}: ", span_.source->name());
    out += "\n" + head + shown.line + "\n" + std::string(head.size(), ' ') + shown.carets;
    if (!label_.empty()) out += " " + label_;
  } else if (span_.known()) {
    const Excerpt shown = excerpt(span_);
    const std::string number = std::to_string(span_.source->line_of(span_.begin) + 1);
    gutter = std::max(gutter, number.size());
    out += format("\n{:>{}}--> {}\n{:>{}} |", "", gutter, span_.where(), "", gutter);
    out += format("\n{:>{}} | {}\n{:>{}} | {}", number, gutter, shown.line, "", gutter, shown.carets);
    if (!label_.empty()) out += " " + label_;
  } else if (!label_.empty()) {
    out += ": " + label_;
  }
  if (!lines_.empty() && span_.known()) out += format("\n{:>{}} |", "", gutter);
  for (const auto& [head, text] : lines_) {
    out += format("\n{:>{}} = {}: {}", "", gutter, head, indented(text, gutter + head.size() + 5));
  }
  return out;
}

void Report::default_help(size_t first, const std::string& text) {
  const auto is_help = [](const auto& line) { return line.first == "help"; };
  for (size_t i = first; i < errors_.size(); ++i) {
    const auto& lines = errors_[i].lines();
    const bool helps = std::any_of(lines.begin(), lines.end(), is_help) || !errors_[i].label().empty();
    if (!helps) errors_[i].help(text);
  }
}

std::string Report::render(size_t limit) const {
  std::vector<const Diagnostic*> sorted;
  for (const Diagnostic& d : errors_) sorted.push_back(&d);
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const Diagnostic* a, const Diagnostic* b) { return order(*a) < order(*b); });
  std::string out;
  std::set<std::string> seen;  // a value that is used through two aliases is reported once
  size_t shown = 0, hidden = 0;
  for (const Diagnostic* d : sorted) {
    std::string text = d->render();
    if (!seen.insert(text).second) continue;
    if (shown == limit) {
      ++hidden;
      continue;
    }
    if (shown++ > 0) out += "\n\n";
    out += text;
  }
  if (hidden > 0) return out + format("\n\n... and {} more, {} errors in all", hidden, shown + hidden);
  if (shown > 1) out += format("\n\n{} errors", shown);
  return out;
}

void Report::throw_if_errors() const {
  if (ok()) return;
  const Diagnostic& first = errors_.front();
  throw ConfigReport(first.message(), static_cast<int>(first.code()) - 300, render(), size());
}

std::string subject(const Value& value) {
  return value.path().empty() ? std::string("the config") : "`" + value.path() + "`";
}

}  // namespace rstorch::config
