#include "nn/state_dict.h"

#include <algorithm>
#include <unordered_map>

#include "autograd/grad_mode.h"
#include "config/suggest.h"

namespace rstorch::nn {
namespace {

using Index = std::unordered_map<std::string_view, const Tensor*>;

Index index_of(const StateDict& dict) {
  Index out;
  for (const NamedTensor& named : dict) out.emplace(named.name, &named.tensor);
  return out;
}

// What is in `dict` and not in `index`.
std::vector<std::string> names_not_in(const Index& index, const StateDict& dict) {
  std::vector<std::string> out;
  for (const NamedTensor& named : dict) {
    if (!index.contains(named.name)) out.push_back(named.name);
  }
  return out;
}

std::string misfit(const NamedTensor& to, const Tensor& from) {
  if (to.tensor.shape() != from.shape()) {
    return format("{}: has shape {}, wanted {}", to.name, from.shape().text(), to.tensor.shape().text());
  }
  if (to.tensor.dtype() == from.dtype() || (is_floating(to.tensor.dtype()) && is_floating(from.dtype()))) return {};
  return format("{}: is {}, wanted {}", to.name, name_of(from.dtype()), name_of(to.tensor.dtype()));
}

// "fc.wieght (did you mean fc.weight?)"
std::string with_suggestion(const std::string& name, const std::vector<std::string>& candidates) {
  const std::vector<std::string_view> known(candidates.begin(), candidates.end());
  const std::optional<std::string> near = config::nearest(name, known);
  return near ? format("{} (did you mean {}?)", name, *near) : name;
}

// At most 20 lines: a model of another kind has hundreds of wrong keys.
std::string joined(const std::vector<std::string>& lines) {
  constexpr size_t limit = 20;
  const size_t shown = std::min(lines.size(), limit);
  std::string out = join(lines.begin(), lines.begin() + std::ptrdiff_t(shown), "\n    ");
  if (shown < lines.size()) out += format("\n    ... and {} more", lines.size() - shown);
  return out;
}

}  // namespace

LoadResult copy_state(const StateDict& to, const StateDict& from, Strict strict, std::string_view operation) {
  const Index given = index_of(from), wanted = index_of(to);
  LoadResult result{.missing = names_not_in(given, to), .unexpected = names_not_in(wanted, from)};

  std::vector<std::string> errors;
  if (strict == Strict::yes) {
    for (const std::string& name : result.missing) errors.push_back(format("missing: {}", name));
    for (const std::string& name : result.unexpected) {
      errors.push_back(format("unexpected: {}", with_suggestion(name, result.missing)));
    }
  }
  for (const NamedTensor& target : to) {
    const auto found = given.find(target.name);
    if (found == given.end()) continue;
    if (std::string text = misfit(target, *found->second); !text.empty()) errors.push_back(std::move(text));
  }
  if (!errors.empty()) {
    throw CheckpointError(format("{}: {} of the keys do not fit:\n    {}", operation, errors.size(), joined(errors)));
  }

  const NoGrad no_grad;
  for (const NamedTensor& target : to) {
    if (const auto found = given.find(target.name); found != given.end()) Tensor(target.tensor).copy_(*found->second);
  }
  return result;
}

}  // namespace rstorch::nn
