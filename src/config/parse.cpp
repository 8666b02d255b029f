// YAML text to Value, over the events of yaml-cpp (its tree drops duplicates, marks of aliases and quotes).
//
// The text is checked and normalised first (UTF-8, control characters, BOM, CRLF, tabs), so that a mark of yaml-cpp is
// a byte offset into the Source.
#include <sstream>
#include <unordered_map>

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include "config/load.h"
#include "config/text.h"

namespace rstorch::config {
namespace {

using SourcePtr = std::shared_ptr<const Source>;

struct Abort {};  // the error is in the report; no further events are wanted

// Where things end, found in the text itself: yaml-cpp's events say only where they begin.
class Scanner {
 public:
  explicit Scanner(SourcePtr source) : source_(std::move(source)), text_(source_->text()) {}

  std::string_view text() const { return text_; }
  const SourcePtr& source() const { return source_; }
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

 private:
  size_t quote_end(size_t at) const;
  SourcePtr source_;
  std::string_view text_;
};

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

size_t Scanner::quote_end(size_t at) const {
  const char quote = text_[at];
  const size_t end = line_end(at);
  for (size_t i = at + 1; i < end; ++i) {
    if (quote == '"' && text_[i] == '\\') {
      ++i;
    } else if (text_[i] == quote) {
      if (quote != '\'' || i + 1 >= end || text_[i + 1] != '\'') return i + 1;
      ++i;
    }
  }
  return end;
}

Span Scanner::scalar(size_t at, const std::string& value, bool quoted) const {
  if (at >= text_.size()) return span(text_.size(), text_.size());
  if (quoted) return span(at, text_[at] == '"' || text_[at] == '\'' ? quote_end(at) : content_end(at));
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

class Builder final : public YAML::EventHandler {
 public:
  // `offset`: where the text that yaml-cpp reads begins in the source.
  Builder(SourcePtr source, size_t offset, Report& report)
      : scan_(std::move(source)), offset_(offset), report_(report) {}

  Value take() { return std::move(root_); }
  bool seen_document() const { return documents_ > 0; }
  const Scanner& scanner() const { return scan_; }
  size_t last_end() const { return last_end_; }
  // The innermost `{` or `[` that is still open, for an error at the end of the text.
  std::optional<size_t> open_bracket() const {
    for (auto it = stack_.rbegin(); it != stack_.rend(); ++it) {
      if (it->value.is_flow()) return it->value.span().begin;
    }
    return std::nullopt;
  }
  size_t at(const YAML::Mark& mark) const {
    return std::min(scan_.text().size(), offset_ + static_cast<size_t>(std::max(0, mark.pos)));
  }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++documents_ == 1) return;
    const size_t begin = at(mark);
    report_.error(Code::unsupported, "a config is one YAML document, this is a second one")
        .at(scan_.span(begin, scan_.content_end(begin)))
        .help("remove the `---`, or put the second document into a file of its own");
    throw Abort{};
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override;
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override;
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& text) override;
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value style) override {
    open(Value::list(), mark, tag, anchor, style == YAML::EmitterStyle::Flow);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value style) override {
    open(Value::map(), mark, tag, anchor, style == YAML::EmitterStyle::Flow);
  }
  void OnMapEnd() override { close(); }

 private:
  struct Anchored {
    Value value;
    size_t count = 0;
    bool open = true;  // its end has not been seen: an alias to it is a cycle
  };
  struct Frame {
    Value value;
    YAML::anchor_t anchor;
    size_t first;  // values counted before it
    std::string key = {};
    Span key_span = {};
    bool has_key = false;
    std::unordered_map<std::string, Span> seen = {};
  };

  bool wants_key() const { return !stack_.empty() && stack_.back().value.is_map() && !stack_.back().has_key; }
  void open(Value value, const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, bool flow);
  void close();
  void take_key(const std::string& text, Span span);
  void attach(Value value);
  void count(size_t values, const Span& where);
  void check_tag(const std::string& tag, const YAML::Mark& mark);
  void refuse_key(const Span& where, const std::string& what);
  Span null_span(size_t begin) const;

  Scanner scan_;
  size_t offset_;
  Report& report_;
  Value root_;
  std::vector<Frame> stack_;
  std::unordered_map<YAML::anchor_t, Anchored> anchors_;
  size_t values_ = 0;
  size_t documents_ = 0;
  size_t last_end_ = 0;
};

void Builder::count(size_t values, const Span& where) {
  values_ += values;
  if (values_ <= max_values) return;
  report_.error(Code::limit, format("more than {} values once aliases are followed", max_values))
      .at(where)
      .help("a config is small; put large tables into a data file");
  throw Abort{};
}

void Builder::check_tag(const std::string& tag, const YAML::Mark& mark) {
  constexpr std::string_view core = "tag:yaml.org,2002:";
  if (tag.empty() || tag == "?" || tag == "!") return;
  if (tag == std::string(core) + "str" || tag == std::string(core) + "map" || tag == std::string(core) + "seq") return;
  const Span where = scan_.word(at(mark));
  report_.error(Code::unsupported, "YAML tags are not supported")
      .at(where)
      .help(format("remove `{}`; quote a value to make it text", where.text()));
}

void Builder::refuse_key(const Span& where, const std::string& what) {
  report_.error(Code::unsupported, format("a key must be text, this is {}", what))
      .at(where)
      .help("keys are plain words; in `{...}` write `{key: value}`, and quote a value that begins with `{` or `[`");
  stack_.back().has_key = true;
  stack_.back().key = {};
  stack_.back().key_span = where;
}

void Builder::take_key(const std::string& text, Span span) {
  Frame& frame = stack_.back();
  if (text == "<<") {
    report_.error(Code::unsupported, "merge keys (`<<`) are not supported")
        .at(span)
        .help("put the shared keys into a file and name it in `extends: [file.yaml]`, or use a block with parameters");
  } else if (const auto [it, fresh] = frame.seen.emplace(text, span); !fresh) {
    report_.error(Code::duplicate_key, format("the key `{}` is there twice", text))
        .at(span)
        .label(format("first given in line {}", it->second.position().line))
        .help("remove one of the two");
  }
  frame.key = text;
  frame.key_span = std::move(span);
  frame.has_key = true;
}

void Builder::attach(Value value) {
  if (stack_.empty()) {
    root_ = std::move(value);
    return;
  }
  Frame& frame = stack_.back();
  if (frame.value.is_map()) {
    value.set_key(std::move(frame.key), std::move(frame.key_span));
    frame.has_key = false;
  }
  frame.value.items().push_back(std::move(value));
}

// The text of `key:` without a value, or the `-` of an empty list item: yaml-cpp gives the next token's place.
Span Builder::null_span(size_t begin) const {
  const std::string_view text = scan_.text();
  for (const std::string_view word : {"~", "null", "Null", "NULL"}) {
    const size_t end = begin + word.size();
    const bool ends = end >= text.size() || std::string_view(" \n,]}").find(text[end]) != std::string_view::npos;
    if (text.substr(begin).starts_with(word) && ends) return scan_.span(begin, end);
  }
  if (!stack_.empty() && stack_.back().has_key) {
    const Span& key = stack_.back().key_span;
    const size_t end = key.begin + key.length;
    return scan_.span(key.begin, end < text.size() && text[end] == ':' ? end + 1 : end);
  }
  const size_t before = begin == 0 ? std::string_view::npos : text.find_last_not_of(" \n", begin - 1);
  if (before != std::string_view::npos && text[before] == '-') return scan_.span(before, before + 1);
  return scan_.span(begin, begin);
}

void Builder::OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) {
  const Span span = null_span(scan_.skip_properties(at(mark)));
  if (wants_key()) return refuse_key(span, "null");
  count(1, span);
  Value value;
  value.set_span(span, true);
  if (anchor != 0) anchors_[anchor] = {value, 1, false};
  attach(std::move(value));
}

void Builder::OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, const std::string& text) {
  check_tag(tag, mark);
  const bool plain = tag == "?";
  const size_t begin = scan_.skip_properties(at(mark));
  Span span = scan_.scalar(begin, text, !plain);
  last_end_ = span.begin + span.length;
  if (wants_key()) return take_key(text, std::move(span));
  count(1, span);
  Value value = plain ? resolve_plain(text, span, report_) : Value(text);
  if (!plain) value.set_span(span, false);
  if (anchor != 0) anchors_[anchor] = {value, 1, false};
  attach(std::move(value));
}

void Builder::OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) {
  const Span span = scan_.word(at(mark));
  last_end_ = span.begin + span.length;
  if (wants_key()) return refuse_key(span, "an alias");
  const Anchored& target = anchors_[anchor];
  if (target.open) {
    report_.error(Code::reference, format("the alias `{}` refers to itself", span.text()))
        .at(span)
        .label("it stands inside the value that it names")
        .help("write the inner value out");
    return attach(Value::broken(span));
  }
  count(target.count, span);
  Value value = target.value;
  value.set_note(format("`{}` is the value at {}", span.text(), value.span().where()));
  value.set_span(span, value.is_plain());
  attach(std::move(value));
}

void Builder::open(Value value, const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, bool flow) {
  check_tag(tag, mark);
  const size_t begin = scan_.skip_properties(at(mark));
  value.set_span(flow ? scan_.flow(begin) : scan_.block(begin));
  value.mark_flow(flow);
  if (flow) last_end_ = begin + 1;
  if (stack_.size() >= max_depth) {
    report_.error(Code::limit, format("more than {} levels of nesting", max_depth))
        .at(value.span())
        .help("use a block, or `repeat`");
    throw Abort{};
  }
  if (anchor != 0) anchors_[anchor] = {};
  count(1, value.span());
  stack_.push_back({std::move(value), anchor, values_ - 1});
}

void Builder::close() {
  Frame frame = std::move(stack_.back());
  stack_.pop_back();
  if (wants_key()) return refuse_key(frame.value.span(), frame.value.kind_text());
  if (frame.anchor != 0) anchors_[frame.anchor] = {frame.value, values_ - frame.first, false};
  attach(std::move(frame.value));
}

// The first quote behind the last complete token that begins a value: the one that is never closed.
std::optional<size_t> open_quote(std::string_view text, size_t from) {
  for (size_t i = from; i < text.size(); ++i) {
    if (text[i] != '"' && text[i] != '\'') continue;
    if (i == 0 || std::string_view(" \n[{,:(").find(text[i - 1]) != std::string_view::npos) return i;
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
    {YAML::ErrorMsg::FLOW_END, "a closing bracket without its opening one", "remove it, or add the `[` or `{`"},
    {YAML::ErrorMsg::DOC_IN_SCALAR, "a document marker inside a quoted text", "close the quote before it"},
    {YAML::ErrorMsg::CHAR_IN_SCALAR, "this character cannot stand in a plain text", "quote the text"},
    {YAML::ErrorMsg::UNKNOWN_TOKEN, "a value cannot begin with this character", "quote the text"},
    {YAML::ErrorMsg::ANCHOR_NOT_FOUND, "an `&` must be followed by a name", "quote the text if it is no anchor"},
    {YAML::ErrorMsg::ALIAS_NOT_FOUND, "a `*` must be followed by a name", "quote the text if it is no alias"},
    {YAML::ErrorMsg::CHAR_IN_ALIAS, "a `*` begins an alias, and this is no name", "quote the text: \"*...\""},
    {YAML::ErrorMsg::CHAR_IN_ANCHOR, "an `&` begins an anchor, and this is no name", "quote the text: \"&...\""},
    {YAML::ErrorMsg::CHAR_IN_BLOCK, "unexpected text behind `|` or `>`", "the text begins on the next line"},
};

// Lines on which a common slip explains the error better than the grammar does.
std::string slip(std::string_view line) {
  const size_t key = line.find_first_not_of(" -");
  const size_t colon = line.find(':');
  if (line.find("${") != std::string_view::npos && line.find('"') == std::string_view::npos) {
    return "quote references: \"${name}\"";
  }
  if (key != std::string_view::npos && colon != std::string_view::npos && colon > key && colon + 1 < line.size() &&
      line[colon + 1] != ' ' && line.find(": ") == std::string_view::npos) {
    return "put a space behind the colon";
  }
  return {};
}

void report_unclosed(size_t at, const Scanner& scan, Report& report, const std::string& hint = {}) {
  const char c = scan.text()[at];
  const char closing = c == '{' ? '}' : c == '[' ? ']' : c;
  report.error(Code::syntax, format("this `{}` is never closed", c))
      .at(scan.span(at, at + 1))
      .help(hint.empty() ? format("add the closing `{}`", closing) : hint);
}

void report_syntax(const YAML::ParserException& e, const Builder& builder, Report& report) {
  const Scanner& scan = builder.scanner();
  const std::string_view msg = e.msg;
  if (msg == YAML::ErrorMsg::EOF_IN_SCALAR) {
    if (const auto quote = open_quote(scan.text(), builder.last_end())) return report_unclosed(*quote, scan, report);
  }
  const bool unclosed = msg == YAML::ErrorMsg::END_OF_MAP_FLOW || msg == YAML::ErrorMsg::END_OF_SEQ_FLOW;
  const size_t begin = builder.at(e.mark);
  const size_t shown = begin >= scan.text().size() && begin > 0 ? begin - 1 : begin;
  const std::string_view line = scan.source()->line_text(scan.source()->line_of(shown));
  if (const auto bracket = builder.open_bracket(); unclosed && bracket) {
    return report_unclosed(*bracket, scan, report, slip(line));
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
  std::string message(msg), help;
  for (const SyntaxText& entry : syntax_texts) {
    if (msg != entry.theirs) continue;
    message = entry.message;
    help = entry.help;
  }
  if (const std::string hint = slip(line); !hint.empty()) help = hint;
  report.error(Code::syntax, message).at(scan.span(begin, begin + 1)).help(help);
}

}  // namespace

Value parse_yaml(const SourcePtr& source, size_t begin, Report& report) {
  Builder builder(source, begin, report);
  const size_t before = report.size();
  try {
    std::istringstream in(source->text().substr(begin));
    YAML::Parser parser(in);
    while (parser.HandleNextDocument(builder)) {
    }
  } catch (const Abort&) {
    return Value::broken();
  } catch (const YAML::ParserException& e) {
    // A value that was reported already may be what confused the grammar: one error says enough.
    if (report.size() == before) report_syntax(e, builder, report);
    return Value::broken();
  }
  Value root = builder.take();
  root.set_path({});
  return root;
}

Value parse(std::string text, const std::string& name, Report& report, Origin origin) {
  const auto source = checked_source(std::move(text), name, origin, report);
  return source ? parse_yaml(source, 0, report) : Value::broken();
}

}  // namespace rstorch::config
