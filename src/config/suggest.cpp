#include "config/suggest.h"

#include <algorithm>

#include "base/format.h"

namespace rstorch::config {
namespace {

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; }

// Lower case, without `_`, `-` and blanks: "Conv_2D" and "conv2d" are the same.
std::string folded(std::string_view word) {
  std::string out;
  for (const char c : word) {
    if (c != '_' && c != '-' && c != ' ') out += lower(c);
  }
  return out;
}

// One of the words of `name` between underscores: "workers" in "num_workers".
bool is_word_of(std::string_view word, std::string_view name) {
  const size_t at = name.find(word);
  if (word.size() < 4 || at == std::string_view::npos) return false;
  const bool begins = at == 0 || name[at - 1] == '_';
  const bool ends = at + word.size() == name.size() || name[at + word.size()] == '_';
  return begins && ends;
}

std::string listed(std::span<const std::string_view> known, size_t limit) {
  std::string out;
  for (size_t i = 0; i < known.size() && i < limit; ++i) out += (i > 0 ? ", " : "") + std::string(known[i]);
  if (known.size() > limit) out += format(", ... ({} in all)", known.size());
  return out;
}

std::string foreign_help(const Foreign& foreign) {
  if (foreign.framework.empty()) return {};
  const std::string_view s = foreign.framework.ends_with('s') ? "'" : "'s";
  return format("`{}` is {}{} name for `{}`", foreign.name, foreign.framework, s, foreign.ours);
}

}  // namespace

// Optimal string alignment: Damerau-Levenshtein without edits inside a swapped pair.
size_t edit_distance(std::string_view a, std::string_view b) {
  a = a.substr(0, 64);
  b = b.substr(0, 64);
  std::vector<size_t> before(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) last[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) row[j] = std::min(row[j], before[j - 2] + 1);
    }
    std::swap(before, last);
    std::swap(last, row);
  }
  return last[b.size()];
}

std::optional<std::string> nearest(std::string_view word, std::span<const std::string_view> known) {
  const std::string wanted = folded(word);
  if (wanted.empty()) return std::nullopt;
  std::optional<std::string> best;
  size_t best_distance = std::max<size_t>(1, wanted.size() / 3) + 1;
  for (const std::string_view name : known) {
    const std::string candidate = folded(name);
    if (candidate == wanted) return std::string(name);
    const size_t distance = edit_distance(wanted, candidate);
    if (distance >= best_distance || distance >= std::max(wanted.size(), candidate.size())) continue;
    if (std::min(wanted.size(), candidate.size()) <= 2 && distance > 1) continue;
    best = name;
    best_distance = distance;
  }
  if (best) return best;
  for (const std::string_view name : known) {  // `minimum` for `min`
    const std::string candidate = folded(name);
    const bool begins = candidate.starts_with(wanted) || wanted.starts_with(candidate);
    if (begins && std::min(candidate.size(), wanted.size()) >= 3) return std::string(name);
  }
  for (const std::string_view name : known) {
    if (is_word_of(word, name) || is_word_of(name, word)) return std::string(name);
  }
  return std::nullopt;
}

namespace {

Suggestion did_you_mean(std::string_view name, std::string help = {}) {
  return {std::string(name), format("did you mean `{}`?", name), std::move(help)};
}

}  // namespace

Suggestion suggest_key(std::string_view word, std::span<const std::string_view> known) {
  if (const Foreign* foreign = foreign_key(word, known)) return did_you_mean(foreign->ours, foreign_help(*foreign));
  if (const auto near = nearest(word, known)) return did_you_mean(*near);
  if (known.empty()) return {};
  return {{}, {}, format("the keys here are: {}", listed(known, 24))};
}

Suggestion suggest_kind(std::string_view noun, std::string_view word, std::span<const std::string_view> known) {
  // The same but for case wins over another framework's name for something else.
  const std::string wanted = folded(word);
  for (const std::string_view name : known) {
    if (folded(name) == wanted) return did_you_mean(name, "names are spelled as in PyTorch");
  }
  if (const Foreign* foreign = foreign_kind(word, known)) return did_you_mean(foreign->ours, foreign_help(*foreign));
  if (const auto near = nearest(word, known)) return did_you_mean(*near);
  if (known.empty()) return {};
  const std::string_view ending = noun.ends_with('s') ? "es" : "s";
  constexpr size_t readable = 12;
  if (known.size() > readable) return {{}, {}, format("`rstorch list` shows all {} {}{}", known.size(), noun, ending)};
  return {{}, {}, format("the {}{} are: {}", noun, ending, listed(known, readable))};
}

}  // namespace rstorch::config
