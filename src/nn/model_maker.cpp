#include "nn/model_maker.h"

#include "autograd/grad_mode.h"
#include "nn/batch_norm.h"
#include "nn/conv2d.h"
#include "nn/placement.h"
#include "nn/residual.h"

namespace rstorch::nn {
namespace {

using config::Code;
using config::Report;
using config::Value;

Shape without_batch(const Shape& shape) { return shape.slice(1, shape.dims()); }

ShapeChain::Parameters parameters_of(const Module& module) {
  return module.parameter_count() > 0 ? ShapeChain::Parameters::some : ShapeChain::Parameters::none;
}

// A message about a tensor [1, 64], which the config calls [64]: "[batch, 64]".
std::string with_named_batch(std::string message, const Shape& shape) {
  const std::string probe = shape.text();
  const std::string named = "[batch" + probe.substr(2);
  for (size_t at = 0; (at = message.find(probe, at)) != std::string::npos; at += named.size()) {
    message.replace(at, probe.size(), named);
  }
  return message;
}

Tensor probe_of(const Shape& sample, DType dtype) {
  Shape shape = sample;
  shape.insert(0, 1);
  return Tensor::empty(shape, {dtype, kMeta});
}

// The value of a key in a layer's config, whatever the spelling; nullptr where it is not stated.
const Value* stated_value(const Value& layer, std::string_view key) {
  if (layer.has("type")) return layer.find(key);
  return layer.only() ? layer.only()->find(key) : nullptr;
}

// Reports what a layer's config states wrongly of its input, at that key.
class ReportingInference final : public Inference {
 public:
  using Mismatch = std::function<void(const Value& where, const std::string& label, const std::string& help)>;
  ReportingInference(const Shape& input, const Value& layer, Mismatch mismatch)
      : Inference(input), layer_(layer), mismatch_(std::move(mismatch)) {}

  void mismatch(std::string_view key, const std::string& label, const std::string& help) override {
    const Value* const value = stated_value(layer_, key);
    mismatch_(value ? *value : layer_, label, help);
  }

 private:
  const Value& layer_;
  Mismatch mismatch_;
};

// The stride of a 1x1 convolution that turns `in` rows into `out`; 0 where there is none.
int64_t projection_stride(int64_t in, int64_t out) {
  if (out <= 0 || out > in) return 0;
  const int64_t stride = (in + out - 1) / out;
  return (in - 1) / stride + 1 == out ? stride : 0;
}

}  // namespace

const Value* LayerInfo::stated(std::string_view key) const { return stated_value(where, key); }

ModelMaker::ModelMaker(const Shape& sample, DType dtype, Report& report)
    : report_(report), x_(probe_of(sample, dtype)), chain_(sample) {}

Shape ModelMaker::output() const { return without_batch(x_.shape()); }

std::unique_ptr<Sequential> ModelMaker::make(const std::vector<LayerNode>& layers) {
  const PlacementScope on_meta({kMeta, current_placement().dtype});
  const NoGrad no_grad;
  std::unique_ptr<Sequential> model = make_sequence(layers, "");
  return x_.defined() ? std::move(model) : nullptr;
}

std::unique_ptr<Sequential> ModelMaker::make_sequence(const std::vector<LayerNode>& layers, const std::string& path) {
  auto out = std::make_unique<Sequential>();
  for (size_t i = 0; i < layers.size() && x_.defined(); ++i) {
    const LayerNode& node = layers[i];
    const bool adds_no_level = node.kind == LayerNode::Kind::residual && node.name.empty();
    const std::string name = adds_no_level ? "" : node.name.empty() ? format("{}", i) : node.name;
    const size_t mark = chain_.mark();
    std::unique_ptr<Module> module = make_node(node, join_path(path, name));
    if (!module || !x_.defined()) {
      x_ = {};
      return nullptr;
    }
    chain_.fold(mark, node.label.empty() ? join_path(path, name) : node.label);
    out->add(name, std::move(module));
  }
  return x_.defined() ? std::move(out) : nullptr;
}

std::unique_ptr<Module> ModelMaker::make_node(const LayerNode& node, const std::string& path) {
  switch (node.kind) {
    case LayerNode::Kind::sequence:
      return make_sequence(node.layers, path);
    case LayerNode::Kind::residual:
      return make_residual(node, path);
    case LayerNode::Kind::layer:
      break;
  }
  return node.recipe ? make_layer(node, path) : nullptr;
}

std::unique_ptr<Module> ModelMaker::make_layer(const LayerNode& node, const std::string& path) {
  ReportingInference inference(
      x_.shape(), node.where,
      [&](const Value& where, const std::string& label, const std::string& help) { misfit(where, path, label, help); });
  try {
    std::unique_ptr<Module> module = node.recipe.make()->make(inference);
    run(*module, path, node.recipe.name(), node.where);
    return module;
  } catch (const Error& error) {
    const config::Kind& kind = *node.recipe.kind();
    misfit(node.where, path, with_named_batch(error.what(), x_.shape()),
           error.hint().empty() ? format("{}: {}", kind.name, kind.help) : error.hint());
    return nullptr;
  }
}

void ModelMaker::run(Module& module, const std::string& path, std::string_view kind, const Value& where) {
  module.eval();
  const Tensor y = module(x_);
  infos_.push_back({.path = path,
                    .kind = std::string(kind),
                    .output = without_batch(y.shape()),
                    .parameters = module.parameter_count(),
                    .flops = module.flops(x_.shape(), y.shape()),
                    .activation_bytes = int64_t(y.bytes()),
                    .where = where});
  x_ = y;
  chain_.push(path, without_batch(y.shape()), parameters_of(module));
}

std::unique_ptr<Module> ModelMaker::make_residual(const LayerNode& node, const std::string& path) {
  const Tensor x = x_;
  const size_t mark = chain_.mark();
  std::unique_ptr<Module> body = make_sequence(node.layers, path);
  if (!body) return nullptr;
  const Tensor y = x_;
  chain_.cut(mark);
  x_ = x;
  const std::string shortcut_path = join_path(path, "downsample");
  std::unique_ptr<Module> shortcut;
  if (node.shortcut == LayerNode::Shortcut::layers) {
    shortcut = make_sequence(node.shortcut_layers, shortcut_path);
  } else if (node.shortcut == LayerNode::Shortcut::automatic && x.shape() != y.shape()) {
    shortcut = make_projection(node, shortcut_path, y.shape());
  }
  if (!x_.defined()) return nullptr;
  if (x_.shape() != y.shape()) {
    misfit(
        node.where, path,
        format("the body gives {}, the shortcut {}", without_batch(y.shape()).text(), without_batch(x_.shape()).text()),
        node.shortcut == LayerNode::Shortcut::identity ? "write `shortcut: auto` to project the input" : "");
    return nullptr;
  }
  chain_.push(node.label, without_batch(y.shape()), parameters_of(*body));
  return std::make_unique<Residual>(std::move(body), std::move(shortcut));
}

std::unique_ptr<Module> ModelMaker::make_projection(const LayerNode& node, const std::string& path, const Shape& to) {
  const Shape& from = x_.shape();
  const bool images = from.dims() == 4 && to.dims() == 4;
  const Pair stride = images ? Pair{projection_stride(from[2], to[2]), projection_stride(from[3], to[3])} : Pair{0, 0};
  if (stride[0] == 0 || stride[1] == 0) {
    misfit(node.where, path,
           format("no 1x1 convolution turns {} into {}", without_batch(from).text(), without_batch(to).text()),
           "write the shortcut's layers: `shortcut: [...]`");
    x_ = {};
    return nullptr;
  }
  auto out = std::make_unique<Sequential>();
  run(out->push_back(std::make_unique<Conv2d>(Conv2d::Config{
          .in_channels = from[1], .out_channels = to[1], .kernel_size = 1, .stride = stride, .bias = false})),
      join_path(path, "0"), Conv2d::kind, node.where);
  run(out->push_back(std::make_unique<BatchNorm2d>(to[1])), join_path(path, "1"), BatchNorm2d::kind, node.where);
  return out;
}

void ModelMaker::misfit(const Value& where, const std::string& path, const std::string& label,
                        const std::string& help) {
  config::Diagnostic& error = report_.error(Code::shapes, "shapes do not fit");
  error.entry(where).label(label).line("chain", chain_.text());
  if (path.find('.') != std::string::npos) error.line("in", path);
  error.help(help);
}

}  // namespace rstorch::nn
