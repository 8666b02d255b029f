#include "config/text.h"

#include <optional>

#include "config/load.h"

namespace rstorch::config {
namespace {

// The length of the UTF-8 sequence at `i`, 0 when it is none (overlong forms and surrogates are none).
size_t sequence_length(std::string_view text, size_t i) {
  const auto byte = [&](size_t k) { return k < text.size() ? static_cast<unsigned char>(text[k]) : 0u; };
  const unsigned first = byte(i);
  if (first < 0x80) return 1;
  const size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4) return 0;
  for (size_t k = 1; k < length; ++k) {
    if ((byte(i + k) & 0xC0) != 0x80) return 0;
  }
  const unsigned second = byte(i + 1);
  const bool overlong = (first == 0xE0 && second < 0xA0) || (first == 0xF0 && second < 0x90);
  const bool outside = (first == 0xED && second > 0x9F) || (first == 0xF4 && second > 0x8F);
  return overlong || outside ? 0 : length;
}

bool is_control(unsigned char c) { return (c < 0x20 && c != '\n' && c != '\t') || c == 0x7F; }

// The first byte that no config may hold.
std::optional<size_t> bad_byte(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const size_t length = sequence_length(text, i);
    if (length == 0 || is_control(static_cast<unsigned char>(text[i]))) return i;
    i += length;
  }
  return std::nullopt;
}

// One `?` for each bad byte, so that the excerpt under the error can be shown.
std::string printable(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    const size_t length = sequence_length(text, i);
    const bool good = length > 0 && !is_control(static_cast<unsigned char>(text[i]));
    out += good ? text.substr(i, length) : "?";
    i += good ? length : 1;
  }
  return out;
}

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
  const unsigned char c = static_cast<unsigned char>(text[at]);
  const auto source = std::make_shared<const Source>(origin, name, printable(text));
  const bool utf16 = text.starts_with("\xFF\xFE") || text.starts_with("\xFE\xFF");
  const std::string what = c == 0          ? "a NUL byte"
                           : is_control(c) ? format("the control character 0x{:02X}", c)
                                           : format("the byte 0x{:02X}, which is not UTF-8", c);
  report.error(Code::encoding, format("the text has {}", what))
      .at(Span{source, static_cast<uint32_t>(at), 1})
      .help(utf16           ? "the file looks like UTF-16: save it as UTF-8"
            : c == 0        ? "is this a config? It looks like a binary file"
            : is_control(c) ? "remove it; in a double-quoted text write an escape such as \"\\e\""
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
  if (const auto at = bad_byte(text)) {
    report_bad_byte(text, *at, name, origin, report);
    return nullptr;
  }
  auto source = std::make_shared<const Source>(origin, name, std::move(text));
  return report_tabs(source, report) ? nullptr : source;
}

}  // namespace rstorch::config
