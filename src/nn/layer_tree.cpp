#include "nn/layer_tree.h"

#include <algorithm>
#include <cctype>
#include <set>

#include "config/fields.h"
#include "config/suggest.h"
#include "nn/blocks.h"
#include "nn/layers.h"

namespace rstorch::nn {
namespace {

using config::Code;
using config::Report;
using config::Value;

constexpr size_t kMaxLayers = 10000;  // after repeats: more is a mistake, or an attack

// `Residual: {body: [...], shortcut: auto}`
struct ResidualConfig {
  Value body;
  Value shortcut = "identity";
  static void describe(auto& field) {
    field("body", &ResidualConfig::body, "Layers whose result is added to the input.", required);
    field("shortcut", &ResidualConfig::shortcut,
          "What the result is added to: identity, auto (a 1x1 Conv2d and BatchNorm2d where the shape changes) or "
          "layers.");
  }
};

// `Sequential: {layers: [...]}`; the usual spelling is `Sequential: [...]`, or a list
struct SequentialConfig {
  Value layers;
  static void describe(auto& field) {
    field("layers", &SequentialConfig::layers, "Layers, one after the other.", required);
  }
};

template <class Config>
Value resolve(const Value& body, Report& report, const config::ReadOptions& options) {
  return config::resolved<Config>(body, report, options);
}

// Kinds that hold layers. They are read here: what is in them has to be read as layers.
constexpr config::Kind containers[] = {
    {"Residual", "Adds the result of its layers to its input.", &config::describe<ResidualConfig>,
     &resolve<ResidualConfig>},
    {"Sequential", "Layers, one after the other.", &config::describe<SequentialConfig>, &resolve<SequentialConfig>},
};

// `{repeat: 2, block: {basic: {c: 64}}}`, `{repeat: 3, layers: [...]}`, `{block: name}`
struct GroupConfig {
  int64_t repeat = 1;
  std::optional<Value> block;
  std::optional<Value> layers;
  static void describe(auto& field) {
    field("repeat", &GroupConfig::repeat, "How many, one after the other.", in_range(1, double(kMaxLayers)));
    field("block", &GroupConfig::block, "One of model.blocks: NAME, or {NAME: {PARAMETER: VALUE}}.");
    field("layers", &GroupConfig::layers, "Layers.");
  }
};

class Reader {
 public:
  Reader(const Blocks& blocks, Report& report) : blocks_(blocks), report_(report) {}

  std::vector<LayerNode> list(const Value& value) {
    std::vector<LayerNode> out;
    if (value.is_broken()) return {broken(value)};
    if (!value.is_list()) {
      report_.error(Code::wrong_type, format("`{}` wants a list of layers, not {}", value.path(), value.kind_text()))
          .at(value)
          .help("write one layer per line, each after `- `");
      return {broken(value)};
    }
    for (const Value& item : value.items()) out.push_back(entry(item));
    return out;
  }

 private:
  static LayerNode broken(const Value& value) {
    LayerNode node;
    node.where = value;
    return node;
  }

  // One item of a list: a layer, or `name: layer`.
  LayerNode entry(const Value& item) {
    const Value* only = item.only();
    if (!only || !is_name(*only)) return layer(item);
    LayerNode node = layer(*only);
    node.name = node.label = only->key();
    if (node.name.find('.') != std::string::npos) {
      report_.error(Code::wrong_type, format("the name `{}` has a dot", node.name))
          .key(*only)
          .help("dots join the names of nested layers in state_dict keys");
      return broken(item);
    }
    return node;
  }

  LayerNode layer(const Value& value) {
    if (value.is_list()) return sequence(value, value);
    if (value.has("repeat") || value.has("block")) return group(value);
    if (value.has("from") || value.has("as")) {
      report_.error(Code::unsupported, "layers run one after the other: `from` and `as` are not supported")
          .at(value)
          .help("use Residual for a branch that is added back");
      return broken(value);
    }
    if (const Value* only = value.only(); only && only->key() == "Sequential" && only->is_list()) {
      return sequence(value, *only);
    }
    const std::optional<config::Chosen> chosen = config::choose(value, "layer", report_);
    if (!chosen) return broken(value);
    if (chosen->name == "Sequential") {
      const size_t errors = report_.size();
      const auto config = config::read<SequentialConfig>(chosen->body, report_);
      return report_.size() > errors ? broken(value) : sequence(value, config.layers);
    }
    if (chosen->name == "Residual") return residual(value, *chosen);
    if (!layers().find(chosen->name)) {
      std::vector<std::string_view> names;
      for (const config::Kind* kind : layer_kinds().kinds) names.push_back(kind->name);
      config::detail::unknown_kind(*chosen, "layer", names, report_);
      return broken(value);
    }
    LayerNode node = broken(value);
    node.label = chosen->name;
    if (!has_broken(chosen->body)) node.recipe = layers().read(value, report_);
    count(value, 1);
    return node;
  }

  LayerNode sequence(const Value& where, const Value& items) {
    LayerNode node = broken(where);
    node.kind = LayerNode::Kind::sequence;
    node.label = "Sequential";
    node.layers = list(items);
    return node;
  }

  LayerNode residual(const Value& where, const config::Chosen& chosen) {
    LayerNode node = broken(where);
    node.label = chosen.name;
    const size_t errors = report_.size();
    const auto config = config::read<ResidualConfig>(chosen.body, report_);
    if (report_.size() > errors) return node;
    node.kind = LayerNode::Kind::residual;
    node.layers = list(config.body);
    if (config.shortcut.is_list()) {
      node.shortcut = LayerNode::Shortcut::layers;
      node.shortcut_layers = list(config.shortcut);
    } else if (config.shortcut == Value("auto")) {
      node.shortcut = LayerNode::Shortcut::automatic;
    } else if (config.shortcut != Value("identity") && !config.shortcut.is_broken()) {
      report_.error(Code::wrong_type, format("`{}` is {}", config.shortcut.path(), config.shortcut.text()))
          .at(config.shortcut)
          .help("write identity, auto or a list of layers");
    }
    return node;
  }

  LayerNode group(const Value& value) {
    LayerNode node = broken(value);
    const size_t errors = report_.size();
    const auto config = config::read<GroupConfig>(value, report_);
    if (report_.size() > errors) return node;
    if (config.block.has_value() == config.layers.has_value()) {
      report_.error(Code::conflict, "give one of `block` and `layers`")
          .at(value)
          .help("write `{repeat: 3, layers: [...]}` or `{repeat: 3, block: NAME}`");
      return node;
    }
    LayerNode one = config.block ? block(value, *config.block) : sequence(value, *config.layers);
    if (config.layers) one.label.clear();  // its place tells more
    if (!value.has("repeat")) return one;
    count(value, size_t(config.repeat - 1) * leaves(one));
    if (over_limit_) return node;
    node.kind = LayerNode::Kind::sequence;
    node.label = one.label;
    node.layers.assign(size_t(config.repeat), one);
    return node;
  }

  LayerNode block(const Value& where, const Value& use) {
    const std::optional<BlockUse> found = blocks_.expand(use, open_blocks_, report_);
    if (!found) return broken(where);
    open_blocks_.push_back(found->name);
    LayerNode node = sequence(where, found->layers);
    open_blocks_.pop_back();
    node.label = found->name;
    return node;
  }

  // Whether `key: value` in a list names a layer, rather than being one: `conv1: {Conv2d: {...}}`, not `Conv2d: {...}`.
  static bool is_name(const Value& entry) {
    if (is_kind(entry.key()) || entry.key() == "repeat" || entry.key() == "block" || entry.key() == "type")
      return false;
    if (entry.is_string() || entry.is_list() || entry.is_broken()) return true;
    if (!entry.is_map()) return false;
    if (entry.has("type") || entry.has("repeat") || entry.has("block")) return true;
    const Value* only = entry.only();
    return only && (is_kind(only->key()) || std::isupper(static_cast<unsigned char>(only->key()[0])));
  }

  static bool is_kind(const std::string& name) {
    return layers().find(name) != nullptr || name == "Residual" || name == "Sequential";
  }

  static bool has_broken(const Value& value) {
    return value.is_broken() || std::any_of(value.items().begin(), value.items().end(), has_broken);
  }

  static size_t leaves(const LayerNode& node) {
    if (node.kind == LayerNode::Kind::layer) return 1;
    size_t out = 0;
    for (const LayerNode& child : node.layers) out += leaves(child);
    for (const LayerNode& child : node.shortcut_layers) out += leaves(child);
    return out;
  }

  void count(const Value& value, size_t more) {
    count_ += more;
    if (count_ <= kMaxLayers || over_limit_) return;
    over_limit_ = true;
    report_.error(Code::limit, format("the model has more than {} layers", kMaxLayers)).at(value);
  }

  const Blocks& blocks_;
  Report& report_;
  std::vector<std::string> open_blocks_;
  size_t count_ = 0;
  bool over_limit_ = false;
};

void check_level(const std::vector<LayerNode>& layers, std::set<std::string>& taken, Report& report) {
  for (const LayerNode& node : layers) {
    if (!node.name.empty() && !taken.insert(node.name).second) {
      report.error(Code::conflict, format("the name `{}` is taken", node.name))
          .key(node.where)
          .help("names make state_dict keys, so each is given once per level");
    }
    const bool same_level = node.kind == LayerNode::Kind::residual && node.name.empty();
    std::set<std::string> own;
    check_level(node.layers, same_level ? taken : own, report);
    check_names(node.shortcut_layers, report);
  }
}

}  // namespace

void check_names(const std::vector<LayerNode>& layers, Report& report) {
  std::set<std::string> taken;
  check_level(layers, taken, report);
}

const config::KindTable& layer_kinds() {
  static const config::KindTable table = [] {
    config::KindTable out = layers().kinds();
    for (const config::Kind& kind : containers) out.kinds.push_back(&kind);
    std::ranges::sort(out.kinds, {}, &config::Kind::name);
    return out;
  }();
  return table;
}

std::vector<LayerNode> read_layers(const Value& layers, const std::map<std::string, Value>& blocks, Report& report) {
  return Reader(Blocks(blocks, report), report).list(layers);
}

}  // namespace rstorch::nn
