// "Did you mean": the nearest known name, and what other frameworks call things.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace rstorch::config {

// Insertions, deletions, substitutions and swaps of neighbours that turn one word into the other.
size_t edit_distance(std::string_view a, std::string_view b);

// The known name that `word` was probably meant to be: the same but for case, `_` and `-`, or few edits away.
std::optional<std::string> nearest(std::string_view word, std::span<const std::string_view> known);

struct Foreign {
  std::string_view name;       // "learning_rate"
  std::string_view ours;       // "lr"
  std::string_view framework;  // "Hugging Face"
};
// rstorch's name for another framework's key or kind, if that is among the known ones.
const Foreign* foreign_key(std::string_view word, std::span<const std::string_view> known);
const Foreign* foreign_kind(std::string_view word, std::span<const std::string_view> known);

struct Suggestion {
  std::string name;   // "lr"; empty when there is nothing near
  std::string label;  // behind the caret: "did you mean `lr`?"; empty when there is nothing near
  std::string help;   // "`learning_rate` is Hugging Face's name for `lr`", or the known names
};
Suggestion suggest_key(std::string_view word, std::span<const std::string_view> known);
Suggestion suggest_kind(std::string_view noun, std::string_view word, std::span<const std::string_view> known);

}  // namespace rstorch::config
