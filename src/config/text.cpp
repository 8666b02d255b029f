#include "config/text.h"

#include "base/utf8.h"
#include "config/load.h"

namespace rstorch::config {
namespace {

std::string normalised(std::string text) {
  if (text.starts_with("\xEF\xBB\xBF")) text.erase(0, 3);
  if (text.find('\r') == std::string::npos) return text;
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\r') {
      out += text[i];
    } else if (i + 1 >= text.size() || text[i + 1] != '\n') {
      out += '\n';  // a lone CR ends a line too
    }
  }
  return out;
}

void report_bad_byte(const std::string& text, size_t at, const std::string& name, Origin origin, Report& report) {
  const auto c = static_cast<unsigned char>(text[at]);
  const auto source = std::make_shared<const Source>(origin, name, printable(text));
  const bool utf16 = text.starts_with("\xFF\xFE") || text.starts_with("\xFE\xFF");
  report.error(Code::encoding, format("the text has {}", describe_bad_byte(text[at])))
      .at(Span{source, static_cast<uint32_t>(at), 1})
      .help(utf16      ? "the file looks like UTF-16: save it as UTF-8"
            : c == 0   ? "is this a config? It looks like a binary file"
            : c < 0x80 ? "remove it; in a double-quoted text write an escape such as \"\\e\""
                       : "save the file as UTF-8");
}

bool report_tabs(const std::shared_ptr<const Source>& source, Report& report) {
  const std::string& text = source->text();
  const size_t before = report.size();
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const size_t content = std::min(text.find_first_not_of(" \t", begin), end);
    const size_t tab = text.find('\t', begin);
    if (tab < content && content < end && text[content] != '#') {
      report.error(Code::syntax, "a tab in the indentation")
          .at(Span{source, static_cast<uint32_t>(tab), 1})
          .help("indent with spaces: two for each level");
    }
    begin = end + 1;
  }
  return report.size() > before;
}

}  // namespace

std::shared_ptr<const Source> checked_source(std::string text, const std::string& name, Origin origin, Report& report) {
  if (text.size() > max_bytes) {
    report.error(Code::limit, format("`{}` is larger than 1 MB", name))
        .help("a config is small; put large tables into a data file");
    return nullptr;
  }
  text = normalised(std::move(text));
  if (const auto at = find_bad_byte(text)) {
    report_bad_byte(text, *at, name, origin, report);
    return nullptr;
  }
  auto source = std::make_shared<const Source>(origin, name, std::move(text));
  return report_tabs(source, report) ? nullptr : source;
}

}  // namespace rstorch::config
