// Models from YAML.
#include "nn/builder.h"

#include <set>

#include <doctest/doctest.h>

#include "autograd/grad_mode.h"
#include "config/load.h"
#include "fixture.h"
#include "nn/init.h"
#include "nn/layer_tree.h"
#include "nn/layers.h"
#include "nn/random_scope.h"
#include "ops/ops.h"
#include "tensor/generator.h"

using namespace rstorch;
using namespace rstorch::testing;

namespace {

struct Built {
  nn::BuiltModel model;
  config::Report report;
  std::string errors() const { return report.render(); }
};

// `text`: what stands below `model:`.
Built build(const std::string& text, nn::BuildOptions options = {}) {
  Built out;
  std::string indented = "model:\n  ";
  for (const char c : text) indented += c == '\n' ? std::string("\n  ") : std::string(1, c);
  const config::Value file = config::load_text(indented + "\n", "c.yaml", {}, out.report);
  out.model = nn::build_model(file.at("model"), options, out.report);
  return out;
}

nn::BuiltModel build_good(const std::string& text, const nn::BuildOptions& options = {}) {
  Built out = build(text, options);
  REQUIRE_MESSAGE(out.report.ok(), out.errors());
  REQUIRE(out.model);
  return std::move(out.model);
}

std::vector<std::string> keys(const nn::Module& model) {
  std::vector<std::string> out;
  for (const nn::NamedTensor& named : model.state_dict()) out.push_back(named.name);
  return out;
}

bool mentions(const std::string& text, const std::string& part) {
  INFO(text);
  INFO("wanted: " << part);
  return text.find(part) != std::string::npos;
}

// The one error of a model, rendered.
std::string error_of(const std::string& text, const nn::BuildOptions& options = {}) {
  const Built out = build(text, options);
  CHECK_FALSE(out.model);
  CHECK_MESSAGE(out.report.size() == 1, out.errors());
  return out.errors();
}

using Names = std::vector<std::string>;

constexpr const char* kResnet = R"(input: {shape: [3, 32, 32]}
blocks:
  basic:
    params: {c: ~, stride: 1}
    layers:
      - Residual:
          body:
            - conv1: {Conv2d: {out_channels: "${c}", kernel_size: 3, stride: "${stride}", padding: 1, bias: false}}
            - bn1: BatchNorm2d
            - ReLU
            - conv2: {Conv2d: {out_channels: "${c}", kernel_size: 3, padding: 1, bias: false}}
            - bn2: BatchNorm2d
          shortcut: auto
      - ReLU
layers:
  - conv1: {Conv2d: {out_channels: 64, kernel_size: 3, padding: 1, bias: false}}
  - bn1: BatchNorm2d
  - ReLU
  - layer1: {repeat: 2, block: {basic: {c: 64}}}
  - layer2: [{block: {basic: {c: 128, stride: 2}}}, {block: {basic: {c: 128}}}]
  - layer3: [{block: {basic: {c: 256, stride: 2}}}, {block: {basic: {c: 256}}}]
  - layer4: [{block: {basic: {c: 512, stride: 2}}}, {block: {basic: {c: 512}}}]
  - AdaptiveAvgPool2d: {output_size: 1}
  - Flatten
  - fc: {Linear: {out_features: 10}})";

}  // namespace

TEST_CASE("a chain of layers: widths are inferred, keys are indices or names") {
  const nn::BuiltModel built = build_good(R"(input: {shape: [1, 8, 8]}
layers:
  - Flatten
  - Linear: {out_features: 128}
  - ReLU
  - {type: Dropout, p: 0.1}
  - head: {Linear: {in_features: 128, out_features: 10}})");
  CHECK(keys(*built.module) == Names{"1.weight", "1.bias", "head.weight", "head.bias"});
  CHECK(built.input == Shape{1, 8, 8});
  CHECK(built.output == Shape{10});
  CHECK((*built.module)(Tensor::randn({3, 1, 8, 8})).shape() == Shape{3, 10});
  REQUIRE(built.layers.size() == 5);
  CHECK(built.layers[1].path == "1");
  CHECK(built.layers[1].kind == "Linear");
  CHECK(built.layers[1].output == Shape{128});
  CHECK(built.layers[1].parameters == 128 * 64 + 128);
  CHECK(built.layers[1].flops == 2 * 64 * 128);
  CHECK(built.layers[1].activation_bytes == 128 * 4);
}

TEST_CASE("ResNet-18 from blocks has torchvision's keys and its number of parameters") {
  const nn::BuiltModel built = build_good(kResnet, {.device = kMeta});
  const Names all = keys(*built.module);
  const std::set<std::string> names(all.begin(), all.end());
  for (const char* key :
       {"conv1.weight", "bn1.running_var", "layer1.0.conv1.weight", "layer1.1.bn2.bias", "layer2.0.downsample.0.weight",
        "layer2.0.downsample.1.num_batches_tracked", "layer4.1.conv2.weight", "fc.bias"}) {
    CHECK_MESSAGE(names.contains(key), key);
  }
  CHECK_FALSE(names.contains("layer1.0.downsample.0.weight"));
  CHECK(all.size() == 122);                            // len(torchvision.models.resnet18().state_dict())
  CHECK(built.module->parameter_count() == 11173962);  // ResNet-18 with a 3x3 stem and 10 classes
  int64_t flops = 0;
  for (const nn::LayerInfo& layer : built.layers) flops += layer.flops;
  CHECK(flops == doctest::Approx(1.11e9).epsilon(0.01));  // 0.56 G multiply-adds, as published for CIFAR
  CHECK(built.output == Shape{10});
}

TEST_CASE("a stated width that does not fit is E0307 with the chain and the fix") {
  std::string text = kResnet;
  text.replace(text.find("{out_features: 10}"), 18, "{in_features: 256, out_features: 10}");
  const std::string error = error_of(text, {.device = kMeta});
  CHECK(error == R"(error[E0307]: shapes do not fit
  --> c.yaml:26:21
   |
26 |     - fc: {Linear: {in_features: 256, out_features: 10}}
   |                     ^^^^^^^^^^^^^^^^ 256, but the input here has 512 features
   |
   = chain: [3, 32, 32] -> layer1 [64, 32, 32] -> layer2 [128, 16, 16] -> layer3 [256, 8, 8] -> layer4 [512, 4, 4] -> AdaptiveAvgPool2d [512, 1, 1] -> Flatten [512]
   = help: leave out in_features (it is inferred) or write 512)");
}

TEST_CASE("an error inside a block says where, and is shown once for all uses") {
  const std::string error = error_of(R"(input: {shape: [3, 8, 8]}
blocks:
  wide: {layers: [{conv: {Conv2d: {in_channels: 7, out_channels: 3, kernel_size: 1}}}]}
layers:
  - a: {block: wide}
  - b: {block: wide})");
  CHECK(mentions(error, "7, but the input here has 3 channels"));
  CHECK(mentions(error, "in: a.conv"));
}

TEST_CASE("several errors come in one report") {
  const Built out = build(R"(input: {shape: [1, 8, 8]}
layers:
  - Flaten
  - Linear: {out_feature: 3}
  - Linear: {in_features: 7, out_features: 3}
init: [{match: ".*", kaiming: {}}])");
  CHECK(out.report.size() == 3);
  CHECK(mentions(out.errors(), "did you mean `Flatten`?"));
  CHECK(mentions(out.errors(), "did you mean `out_features`?"));
  CHECK(mentions(out.errors(), "initialiser `kaiming`"));
  const Built shapes = build(R"(input: {shape: [64]}
layers:
  - Linear: {in_features: 60, out_features: 32}
  - Linear: {in_features: 30, out_features: 10})");
  CHECK(shapes.report.size() == 2);
}

TEST_CASE("what a layer cannot take is told at the layer, with what led there") {
  const std::string error = error_of(R"(input: {shape: [4, 4]}
layers:
  - flat: Flatten
  - Conv2d: {out_channels: 3, kernel_size: 3})");
  CHECK(mentions(error, "c.yaml:5:"));
  CHECK(mentions(error, "E0307"));
  CHECK(mentions(error, "[4, 4] -> flat [16]"));
}

TEST_CASE("a width that fits the flattened input asks for Flatten") {
  const std::string error =
      error_of("input: {shape: [1, 8, 8]}\nlayers: [{Linear: {in_features: 64, out_features: 3}}]");
  CHECK(mentions(error, "64, but the input here has 8 features"));
  CHECK(mentions(error, "put Flatten before it"));
}

TEST_CASE("unknown names are errors with a suggestion") {
  CHECK(mentions(error_of("input: {shape: [4]}\nlayers: [{Linaer: {out_features: 3}}]"), "did you mean `Linear`?"));
  CHECK(mentions(error_of("input: {shape: [4]}\nlayers: [{fc: Linaer}]"), "did you mean `Linear`?"));
  CHECK(
      mentions(error_of("input: {shape: [4]}\nlayers: [{fc: {Linaer: {out_features: 3}}}]"), "did you mean `Linear`?"));
  CHECK(mentions(error_of("input: {shape: [4]}\nlayers: [{Resdual: {body: []}}]"), "did you mean `Residual`?"));
  CHECK(mentions(error_of("input: {shape: [4]}\nlayers: [{block: basic}]"), "there is no block `basic`"));
  CHECK(mentions(error_of("input: {shape: [4]}\nlayer: [ReLU]"), "did you mean `layers`?"));
  CHECK(mentions(error_of("preset: gpt2\ninput: {shape: [4]}\nlayers: [ReLU]"), "unknown key `preset`"));
  CHECK(mentions(error_of("input: {shape: [4]}\nlayers: [{ReLU: , from: x, as: y}]"), "`from` and `as`"));
}

TEST_CASE("blocks: parameters are checked, recursion is refused") {
  const std::string blocks =
      "input: {shape: [4]}\nblocks:\n  b: {params: {n: ~}, layers: [{Linear: {out_features: \"${n}\"}}]}\n";
  CHECK(build_good(blocks + "layers: [{block: {b: {n: 5}}}]").output == Shape{5});
  CHECK(mentions(error_of(blocks + "layers: [{block: b}]"), "needs the parameter `n`"));
  CHECK(mentions(error_of(blocks + "layers: [{block: {b: {n: 5, m: 6}}}]"), "has no parameter `m`"));
  CHECK(mentions(error_of("input: {shape: [4]}\nblocks: {a: {layers: [{block: a}]}}\nlayers: [{block: a}]"),
                 "contains itself"));
}

TEST_CASE("repeat makes copies with weights of their own, within reason") {
  const nn::BuiltModel built =
      build_good("input: {shape: [4]}\nlayers: [{repeat: 3, layers: [{Linear: {out_features: 4}}]}]");
  CHECK(keys(*built.module).size() == 6);
  CHECK(keys(*built.module)[2] == "0.1.0.weight");
  const auto parameters = built.module->parameters();
  CHECK_FALSE(bit_equal(parameters[0], parameters[2]));
  error_of("input: {shape: [4]}\nlayers: [{repeat: 9999, layers: [{repeat: 9999, layers: [ReLU]}]}]");
  error_of("input: {shape: [4]}\nlayers: [{repeat: 0, layers: [ReLU]}]");
}

TEST_CASE("Residual: shortcuts") {
  const std::string head =
      "input: {shape: [4, 8, 8]}\nlayers: [{Residual: {body: [{Conv2d: {out_channels: 6, kernel_size: 3, ";
  CHECK(build_good(head + "stride: 2, padding: 1}}], shortcut: auto}}]").output == Shape{6, 4, 4});
  CHECK(mentions(error_of(head + "padding: 1}}]}}]"), "shortcut: auto"));
  error_of(head + "bias: true}}], shortcut: auto}}]");  // 6x6 from 8x8: no stride gives that
  const nn::BuiltModel stated = build_good(
      "input: {shape: [4]}\nlayers: [{Residual: {body: [{fc: {Linear: {out_features: 6}}}], shortcut: [{Linear: "
      "{out_features: 6}}]}}]");
  CHECK(keys(*stated.module) == Names{"fc.weight", "fc.bias", "downsample.0.weight", "downsample.0.bias"});
}

TEST_CASE("two layers may not have one key") {
  const std::string error = error_of(R"(input: {shape: [4]}
layers:
  - Linear: {out_features: 4}
  - Residual: {body: [{Linear: {out_features: 4}}]})");
  CHECK(mentions(error, "state_dict key `0`"));
  error_of("input: {shape: [4]}\nlayers: [{fc: {Linear: {out_features: 4}}}, {fc: {Linear: {out_features: 4}}}]");
}

TEST_CASE("the input's shape is that of the data") {
  CHECK(build_good("layers: [Flatten]", {.sample_shape = Shape{2, 3}}).output == Shape{6});
  CHECK(mentions(error_of("layers: [Flatten]"), "model.input.shape"));
  const std::string error =
      error_of("input: {shape: [1, 8, 8]}\nlayers: [Flatten]", {.sample_shape = Shape{1, 28, 28}});
  CHECK(mentions(error, "the data has [1, 28, 28]"));
  CHECK(mentions(error, "E0318"));
}

TEST_CASE("initial values: a function of the seed and the layer's place") {
  const std::string text = "input: {shape: [8]}\nlayers: [{Linear: {out_features: 8}}, {Linear: {out_features: 8}}]";
  const auto a = build_good(text, {.seed = 1}), b = build_good(text, {.seed = 1}), c = build_good(text, {.seed = 2});
  const auto pa = a.module->parameters(), pb = b.module->parameters(), pc = c.module->parameters();
  for (size_t i = 0; i < pa.size(); ++i) {
    CHECK(bit_equal(pa[i], pb[i]));
    CHECK_FALSE(bit_equal(pa[i], pc[i]));
    CHECK(pa[i].amax({}).item() <= 1 / std::sqrt(8.0));
  }
  CHECK_FALSE(bit_equal(pa[0], pa[2]));
  // A layer without parameters in between changes nothing.
  const auto d = build_good(
      "input: {shape: [8]}\nlayers: [{Linear: {out_features: 8}}, ReLU, {Linear: {out_features: 8}}]", {.seed = 1});
  CHECK(bit_equal(d.module->parameters()[2], pa[2]));
  CHECK(build_good(text, {.dtype = DType::f64}).module->parameters()[0].dtype() == DType::f64);
}

TEST_CASE("init rules: first match wins, and each must match something") {
  const std::string text = "input: {shape: [4]}\nlayers: [{fc: {Linear: {out_features: 4}}}]\ninit: ";
  const auto built = build_good(text + "[{match: \".*bias\", constant: {val: 3}}, {match: \"fc.*\", ones: {}}]");
  const auto parameters = built.module->parameters();
  CHECK(parameters[0].to_vector<double>() == std::vector<double>(16, 1));
  CHECK(parameters[1].to_vector<double>() == std::vector<double>(4, 3));
  CHECK(mentions(error_of(text + "[{match: \"conv.*\", zeros: {}}]"), "matches no parameter"));
  CHECK(mentions(error_of(text + "[{match: \"conv.*\", zeros: {}}]"), "fc.weight, fc.bias"));
  CHECK(mentions(error_of(text + "[{match: \"(\", zeros: {}}]"), "not a regular expression"));
  CHECK(mentions(error_of(text + "[{match: \".*\", kaiming_normal: {}}]"), "fan"));
}

TEST_CASE("weights: loaded through the callback, frozen by pattern") {
  const std::string text = "input: {shape: [2]}\nlayers: [{fc: {Linear: {out_features: 2}}}]\nweights: ";
  nn::BuildOptions options;
  options.load_weights = [](const std::string& path) -> nn::StateDict {
    CHECK(path == "m.safetensors");
    return {{"fc.weight", Tensor::full({2, 2}, 7)}, {"fc.bias", Tensor::full({2}, 8)}};
  };
  const auto built = build_good(text + "{load: m.safetensors, freeze: [\".*bias\"]}", options);
  CHECK(built.module->parameters()[0].to_vector<double>() == std::vector<double>(4, 7));
  CHECK(built.module->parameters()[0].requires_grad());
  CHECK_FALSE(built.module->parameters()[1].requires_grad());
  options.load_weights = [](const std::string&) -> nn::StateDict { return {{"fc.weight", Tensor::full({2, 2}, 7)}}; };
  CHECK(mentions(error_of(text + "{load: m}", options), "missing: fc.bias"));
  CHECK(build_good(text + "{load: m, strict: false}", options));
  CHECK(mentions(error_of(text + "{freeze: [\"x.*\"]}", options), "matches no parameter"));
}

TEST_CASE("dropout layers are numbered, so that equal layers draw different masks") {
  const auto built = build_good("input: {shape: [100]}\nlayers: [Dropout, Dropout]");
  const nn::RandomScope scope({.seed = 1});
  const double kept = rstorch::ne((*built.module)(Tensor::ones({4, 100})), 0).to(DType::f64).mean().item();
  CHECK(kept < 0.4);
}

// Every kind that a config can name, and a body and an input that suit it.
TEST_CASE("each registered layer is made from YAML and gives on real tensors the shape it has on the meta device") {
  struct Example {
    const char* body;
    Shape sample;
  };
  const Shape image{4, 6, 6};
  const std::map<std::string, Example> examples = {
      {"AdaptiveAvgPool2d", {"{output_size: [2, 3]}", image}},
      {"AvgPool2d", {"{kernel_size: 2}", image}},
      {"BatchNorm1d", {"{}", {5}}},
      {"BatchNorm2d", {"{}", image}},
      {"Conv2d", {"{out_channels: 6, kernel_size: [2, 4], padding: same, groups: 2}", image}},
      {"Dropout", {"{p: 0.3}", image}},
      {"Flatten", {"{}", image}},
      {"GELU", {"{approximate: tanh}", image}},
      {"Identity", {"{}", image}},
      {"LayerNorm", {"{normalized_shape: [6, 6]}", image}},
      {"LeakyReLU", {"{negative_slope: 0.2}", image}},
      {"Linear", {"{out_features: 7}", image}},
      {"LogSoftmax", {"{dim: 1}", image}},
      {"MaxPool2d", {"{kernel_size: 3, stride: 2, padding: 1}", image}},
      {"ReLU", {"{}", image}},
      {"SiLU", {"{}", image}},
      {"Sigmoid", {"{}", image}},
      {"Softmax", {"{}", image}},
      {"Tanh", {"{}", image}},
  };
  for (const std::string_view name : nn::layers().names()) {
    CAPTURE(std::string(name));
    REQUIRE_MESSAGE(examples.count(std::string(name)) == 1, "add an example of this layer");
    const auto& [body, sample] = examples.at(std::string(name));
    const auto built = build_good(format("layers: [{{{}: {}}}]", name, body), {.sample_shape = sample});
    Shape batch = sample;
    batch.insert(0, 3);
    Tensor x = Tensor::randn(batch);
    x.set_requires_grad(true);
    Shape wanted = built.output;
    wanted.insert(0, 3);
    const Tensor y = (*built.module)(x);
    CHECK(y.shape() == wanted);
    y.sum().backward();
    CHECK(x.grad().shape() == batch);
    for (const Tensor& parameter : built.module->parameters()) CHECK(parameter.grad().defined());
  }
}

TEST_CASE("each registered initialiser is named in YAML and fills the parameter that it matches") {
  const std::map<std::string, std::string> bodies = {
      {"constant", "{val: 2}"},
      {"kaiming_normal", "{mode: fan_out, nonlinearity: relu}"},
      {"kaiming_uniform", "{}"},
      {"normal", "{std: 0.1}"},
      {"ones", "{}"},
      {"orthogonal", "{gain: 2}"},
      {"trunc_normal", "{a: -1}"},
      {"uniform", "{a: -1, b: 2}"},
      {"xavier_normal", "{}"},
      {"xavier_uniform", "{gain: 3}"},
      {"zeros", "{}"},
  };
  const std::string text = "input: {shape: [4]}\nlayers: [{fc: {Linear: {out_features: 4}}}]\n";
  const auto before = build_good(text).module->parameters();
  for (const std::string_view name : nn::init::initializers().names()) {
    CAPTURE(std::string(name));
    REQUIRE_MESSAGE(bodies.count(std::string(name)) == 1, "add a body for this initialiser");
    const std::string rule = format("init: [{{match: fc.weight, {}: {}}}]", name, bodies.at(std::string(name)));
    const auto after = build_good(text + rule).module->parameters();
    CHECK_FALSE(bit_equal(after[0], before[0]));
    CHECK(bit_equal(after[1], before[1]));
    CHECK(bit_equal(after[0], build_good(text + rule).module->parameters()[0]));
  }
}
