#include <algorithm>

#include <yaml-cpp/exceptions.h>

#include "config/scanner.h"

namespace rstorch::config {
namespace {

// The quote that is never closed in its line, and so reaches far: before the place where the grammar broke.
std::optional<size_t> open_quote(const Scanner& scan, const Break& where) {
  const size_t broken_line = scan.source()->line_of(std::min(where.at, scan.text().size()));
  if (where.last_quote && scan.source()->line_of(*where.last_quote) < broken_line) return where.last_quote;
  for (size_t i = where.last_end; i < std::min(where.at, scan.text().size()); ++i) {
    if (!scan.is_quote(i)) continue;
    const bool begins =
        i == where.last_end || std::string_view(" \n[{,:(=").find(scan.text()[i - 1]) != std::string_view::npos;
    const auto close = scan.quote_close(i, scan.line_end(i));
    if (begins && !close) return i;
    if (begins) i = *close - 1;
  }
  return std::nullopt;
}

struct SyntaxText {
  std::string_view theirs;
  std::string_view message;
  std::string_view help;
};

const SyntaxText syntax_texts[] = {
    {YAML::ErrorMsg::MAP_VALUE, "a `:` cannot stand here",
     "quote a text that contains `: `; a map begins on a line of its own, two spaces deeper than its key"},
    {YAML::ErrorMsg::MAP_KEY, "a key cannot stand here", "check the indentation of this line and the one above"},
    {YAML::ErrorMsg::BLOCK_ENTRY, "a `-` cannot stand here",
     "a list begins on a line of its own; in `[...]` items are separated by commas"},
    {YAML::ErrorMsg::END_OF_MAP, "this line does not fit into the map that it stands in",
     "keys of one map begin in the same column; each is `key: value`, with a space behind the colon"},
    {YAML::ErrorMsg::END_OF_SEQ, "this line does not fit into the list that it stands in",
     "items of one list begin with `- ` in the same column"},
    {YAML::ErrorMsg::FLOW_END, "this bracket closes none that is open",
     "brackets close in turn, the innermost first: remove this one, or add the missing one before it"},
    {YAML::ErrorMsg::DOC_IN_SCALAR, "a document marker inside a quoted text", "close the quote before it"},
    {YAML::ErrorMsg::CHAR_IN_SCALAR, "this character cannot stand in a plain text", "quote the text"},
    {YAML::ErrorMsg::UNKNOWN_TOKEN, "a value cannot begin with this character", "quote the text"},
    {YAML::ErrorMsg::ANCHOR_NOT_FOUND, "an `&` must be followed by a name", "quote the text if it is no anchor"},
    {YAML::ErrorMsg::ALIAS_NOT_FOUND, "a `*` must be followed by a name", "quote the text if it is no alias"},
    {YAML::ErrorMsg::CHAR_IN_ALIAS, "a `*` begins an alias, and this is no name", "quote the text: \"*...\""},
    {YAML::ErrorMsg::CHAR_IN_ANCHOR, "an `&` begins an anchor, and this is no name", "quote the text: \"&...\""},
    {YAML::ErrorMsg::CHAR_IN_BLOCK, "unexpected text behind `|` or `>`", "the text begins on the next line"},
};

bool lacks_space(std::string_view line) {
  const size_t key = line.find_first_not_of(" -");
  const size_t colon = line.find(':');
  return key != std::string_view::npos && colon != std::string_view::npos && colon > key && colon + 1 < line.size() &&
         line[colon + 1] != ' ' && line.find(": ") == std::string_view::npos;
}

// Lines on which a common slip explains the error better than the grammar does.
std::string slip(std::string_view line) {
  if (line.find("${") != std::string_view::npos && line.find('"') == std::string_view::npos) {
    return "quote references: \"${name}\"";
  }
  return lacks_space(line) ? "put a space behind the colon" : "";
}

// Slips in the line before, which the grammar notices one line late: `seed:42`, or a key indented below a value.
bool report_line_before(const Scanner& scan, size_t line, Report& report) {
  const Source& source = *scan.source();
  size_t before = line;
  while (before > 0 && source.line_text(before - 1).find_first_not_of(' ') == std::string_view::npos) --before;
  if (before == 0) return false;
  const std::string_view above = source.line_text(before - 1);
  const size_t at = source.line_begin(before - 1);
  if (lacks_space(above)) {
    report.error(Code::syntax, "a space is missing behind the colon")
        .at(scan.span(at + above.find(':'), at + above.find(':') + 1))
        .help("write `key: value`");
    return true;
  }
  const std::string_view here = source.line_text(line);
  const size_t indent = here.find_first_not_of(' ');
  const size_t above_indent = above.find_first_not_of(' ');
  if (here.find(':') == std::string_view::npos || above.find(": ") == std::string_view::npos) return false;
  if (indent == std::string_view::npos || indent <= above_indent || above[above_indent] == '-') return false;
  const size_t begin = source.line_begin(line) + indent;
  report.error(Code::syntax, "this line is deeper than the one above, which has a value already")
      .at(scan.span(begin, scan.content_end(begin)))
      .help(format("let it begin in column {}, as the line above", above_indent + 1));
  return true;
}

}  // namespace

void report_unclosed(size_t at, const Scanner& scan, Report& report, const std::string& hint) {
  const char c = scan.text()[at];
  const char closing = c == '{' ? '}' : c == '[' ? ']' : c;
  report.error(Code::syntax, format("this `{}` is never closed", c))
      .at(scan.span(at, at + 1))
      .help(hint.empty() ? format("add the closing `{}`", closing) : hint);
}

void report_syntax(std::string_view msg, const Break& where, const Scanner& scan, Report& report) {
  const bool unclosed = msg == YAML::ErrorMsg::END_OF_MAP_FLOW || msg == YAML::ErrorMsg::END_OF_SEQ_FLOW;
  const size_t begin = where.at;
  const size_t shown = begin >= scan.text().size() && begin > 0 ? begin - 1 : begin;
  const std::string_view line = scan.source()->line_text(scan.source()->line_of(shown));
  if (const auto quote = open_quote(scan, where)) return report_unclosed(*quote, scan, report);
  if (const auto bracket = where.open_bracket; unclosed && bracket) {
    return report_unclosed(*bracket, scan, report, slip(line));
  }
  if (const auto bracket = where.open_bracket; bracket && msg == YAML::ErrorMsg::FLOW_END) {
    // A `}` met a `[`, or the other way round. Where the right one follows, this one is too many.
    const char closing = scan.text()[*bracket] == '{' ? '}' : ']';
    const std::string_view rest = scan.text().substr(begin, scan.line_end(begin) - begin);
    if (rest.find(closing) == std::string_view::npos) return report_unclosed(*bracket, scan, report);
  }
  if (msg.starts_with(YAML::ErrorMsg::UNKNOWN_ANCHOR)) {
    const Span word = scan.word(begin);
    report.error(Code::reference, format("the alias `{}` has no anchor", word.text()))
        .at(word)
        .help("mark the value with `&name` before it is used; quote the text if no alias was meant");
    return;
  }
  if (msg.starts_with(YAML::ErrorMsg::INVALID_ESCAPE)) {
    report.error(Code::syntax, format("unknown escape `\\{}` in a double-quoted text", msg.substr(msg.size() - 1)))
        .at(scan.span(begin, begin + 1))
        .help("write the backslash twice, or use single quotes: 'bn\\d'");
    return;
  }
  if (msg == YAML::ErrorMsg::MAP_VALUE && report_line_before(scan, scan.source()->line_of(shown), report)) return;
  const size_t indent = line.find_first_not_of(' ');
  const bool is_item = indent != std::string_view::npos && line.substr(indent).starts_with("- ");
  if (is_item && msg == YAML::ErrorMsg::END_OF_MAP) msg = YAML::ErrorMsg::END_OF_SEQ;
  std::string message(msg), help;
  for (const SyntaxText& entry : syntax_texts) {
    if (msg != entry.theirs) continue;
    message = entry.message;
    help = entry.help;
  }
  if (const std::string hint = slip(line); !hint.empty()) help = hint;
  report.error(Code::syntax, message).at(scan.span(begin, begin + 1)).help(help);
}

}  // namespace rstorch::config
