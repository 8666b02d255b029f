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
#include "config/scanner.h"
#include "config/text.h"

namespace rstorch::config {
namespace {

using SourcePtr = std::shared_ptr<const Source>;

struct Abort {};  // the error is in the report; no further events are wanted

class Builder final : public YAML::EventHandler {
 public:
  // `offset`: where the text that yaml-cpp reads begins in the source.
  Builder(SourcePtr source, size_t offset, Report& report)
      : scan_(std::move(source)), offset_(offset), report_(report) {}

  Value take() { return std::move(root_); }
  const Scanner& scanner() const { return scan_; }
  Break break_at(const YAML::Mark& mark) const {
    Break out{at(mark), last_end_, last_quote_, std::nullopt};
    for (const Frame& frame : stack_) {
      if (frame.value.is_flow()) out.open_bracket = frame.value.span().begin;
    }
    return out;
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
  bool check_tag(const std::string& tag, const YAML::Mark& mark);
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
  size_t last_end_ = offset_;
  std::optional<size_t> last_quote_;
};

void Builder::count(size_t values, const Span& where) {
  values_ += values;
  if (values_ <= max_values) return;
  report_.error(Code::limit, format("more than {} values once aliases are followed", max_values))
      .at(where)
      .help("a config is small; put large tables into a data file");
  throw Abort{};
}

bool Builder::check_tag(const std::string& tag, const YAML::Mark& mark) {
  constexpr std::string_view core = "tag:yaml.org,2002:";
  if (tag.empty() || tag == "?" || tag == "!") return true;
  for (const std::string_view known : {"str", "map", "seq"}) {
    if (tag.starts_with(core) && tag.substr(core.size()) == known) return true;
  }
  const Span where = scan_.word(at(mark));
  report_.error(Code::unsupported, "YAML tags are not supported")
      .at(where)
      .help(format("remove `{}`; quote a value to make it text", where.text()));
  return false;
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
  if (text.empty()) return refuse_key(span, "empty");
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
  frame.key = text == "<<" ? "" : text;
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
    frame.has_key = false;
    if (frame.key.empty()) return;  // a key that was refused
    value.set_key(std::move(frame.key), std::move(frame.key_span));
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
  const bool known_tag = check_tag(tag, mark);
  const bool plain = tag == "?";
  const size_t begin = scan_.skip_properties(at(mark));
  Span span = scan_.scalar(begin, text, !plain);
  last_end_ = span.begin + span.length;
  last_quote_ = scan_.is_quote(begin) && scan_.quote_close(begin, scan_.line_end(begin)) == std::nullopt
                    ? std::optional(begin)
                    : std::nullopt;
  // yaml-cpp lets the end of the file close a quote.
  if (last_quote_ && !scan_.quote_close(begin, scan_.text().size())) {
    report_unclosed(begin, scan_, report_);
    throw Abort{};
  }
  if (wants_key()) {
    if (anchor != 0) anchors_[anchor] = {Value(text), 1, false};
    return take_key(text, std::move(span));
  }
  count(1, span);
  Value value = plain ? resolve_plain(text, span, report_) : known_tag ? Value(text) : Value::broken();
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
        .at(scan_.span(begin, begin + 1))
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
    if (report.size() == before) report_syntax(e.msg, builder.break_at(e.mark), builder.scanner(), report);
    return Value::broken();
  }
  Value root = builder.take();
  root.set_path({});
  return root;
}

Value parse(std::string text, const std::string& name, Report& report, Origin origin) {
  const auto source = checked_source(std::move(text), name, origin, report);
  Value root = source ? parse_yaml(source, 0, report) : Value::broken();
  if (source && !root.span().known()) root.set_span({source, 0, 0});
  return root;
}

}  // namespace rstorch::config
