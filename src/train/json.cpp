#include "train/json.h"

#include <set>

#include <nlohmann/json.hpp>

#include "base/error.h"

namespace rstorch {
namespace {

constexpr int kMaxDepth = 64;

[[noreturn]] void not_json(std::string_view what, std::string_view why) {
  throw CheckpointError(format("{}: not valid JSON: {}", what, why));
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
  } catch (const nlohmann::ordered_json::exception& e) {
    not_json(what, e.what());
  }
}

config::Value parse_json(std::string_view text, std::string_view what) { return to_value(parse_json_tree(text, what)); }

}  // namespace rstorch
