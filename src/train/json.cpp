#include "train/json.h"

#include <algorithm>
#include <set>

#include <nlohmann/json.hpp>

#include "base/error.h"

namespace rstorch {
namespace {

constexpr int kMaxDepth = 64;

// Where byte `at` stands. What is there is not shown: it may be anything.
std::string place_of(std::string_view text, size_t at) {
  const std::string_view before = text.substr(0, at > 0 ? at - 1 : 0);
  const size_t line_begin = before.rfind('\n') + 1;  // npos + 1 is 0
  return format("line {}, column {}", 1 + std::count(before.begin(), before.end(), '\n'),
                before.size() - line_begin + 1);
}

[[noreturn]] void not_json(std::string_view what, std::string_view why) {
  throw CheckpointError(format("{} is damaged: not valid JSON: {}", what, why), "take another checkpoint or file");
}

config::Value to_value(const nlohmann::ordered_json& tree) {
  using Kind = nlohmann::ordered_json::value_t;
  switch (tree.type()) {
    case Kind::boolean:
      return tree.get<bool>();
    case Kind::number_integer:
    case Kind::number_unsigned:
      return tree.get<int64_t>();
    case Kind::number_float:
      return tree.get<double>();
    case Kind::string:
      return tree.get<std::string>();
    case Kind::array: {
      config::Value list = config::Value::list();
      for (const nlohmann::ordered_json& item : tree) list.append(to_value(item));
      return list;
    }
    case Kind::object: {
      config::Value map = config::Value::map();
      for (const auto& [key, item] : tree.items()) map.set(key, to_value(item));
      return map;
    }
    default:
      return {};
  }
}

}  // namespace

nlohmann::ordered_json parse_json_tree(std::string_view text, std::string_view what) {
  using Event = nlohmann::ordered_json::parse_event_t;
  std::vector<std::set<std::string>> keys;  // of the objects that are open
  const auto check = [&](int depth, Event event, nlohmann::ordered_json& parsed) {
    if (depth > kMaxDepth) not_json(what, "more than 64 levels");
    if (event == Event::object_start) keys.emplace_back();
    if (event == Event::object_end) keys.pop_back();
    if (event == Event::key && !keys.back().insert(parsed.get<std::string>()).second) {
      not_json(what, format("the key {} is there twice", parsed.get<std::string>()));
    }
    return true;
  };
  try {
    return nlohmann::ordered_json::parse(text, check);
  } catch (const nlohmann::ordered_json::parse_error& e) {
    not_json(what, text.empty() ? "it is empty" : place_of(text, e.byte));
  } catch (const nlohmann::ordered_json::exception&) {
    not_json(what, "a number is out of range");
  }
}

config::Value parse_json(std::string_view text, std::string_view what) { return to_value(parse_json_tree(text, what)); }

}  // namespace rstorch
