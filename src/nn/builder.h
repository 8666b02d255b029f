// From the `model:` of a config to a module: reads and checks the layers, works out every shape on the meta device,
// infers input widths, initialises. CONFIG.md, section 2, says what a model may contain.
//
// All errors go to the report: unknown layers and keys, shapes that do not fit (E0307, with the chain of shapes that
// led there), patterns that match nothing. Nothing is thrown for what a user wrote.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "config/fields.h"
#include "config/report.h"
#include "config/value.h"
#include "nn/module.h"

namespace rstorch::nn {

// `model:`, as read; help and schema come from it. Layers are read by the builder.
struct ModelConfig {
  struct Input {
    std::vector<int64_t> shape;
    static void describe(auto& field) {
      field("shape", &Input::shape, "Axes of one sample, without the batch: [channels, height, width].",
            config::required, config::non_empty, config::each(config::positive));
    }
  };
  struct Weights {
    std::string load;
    bool strict = true;
    std::vector<std::string> freeze;
    static void describe(auto& field) {
      field("load", &Weights::load, "A .safetensors file, or a checkpoint folder, to start from.");
      field("strict", &Weights::strict, "Every key of the file and of the model must match.");
      field("freeze", &Weights::freeze, "Regular expressions: parameters whose whole name matches are not trained.");
    }
  };
  std::optional<Input> input;
  config::Value layers = config::Value::list();
  std::map<std::string, config::Value> blocks;
  std::vector<config::Value> init;
  std::optional<Weights> weights;
  static void describe(auto& field) {
    field("input", &ModelConfig::input, "What the model takes; checked against the data, needed where there is none.");
    field("layers", &ModelConfig::layers, "The layers in order; a name before a layer is its state_dict key.",
          config::required, config::non_empty);
    field("blocks", &ModelConfig::blocks, "Reusable layers: {NAME: {params: {KEY: DEFAULT}, layers: [...]}}.");
    field("init", &ModelConfig::init, "[{match: REGEX, INITIALISER: {...}}]: first match wins; replaces the defaults.");
    field("weights", &ModelConfig::weights, "Where to start from, and what not to train.");
  }
};

struct BuildOptions {
  // Axes of one sample as the data gives it. Unset: `model.input.shape` says it.
  std::optional<Shape> sample_shape = {};
  DType sample_dtype = DType::f32;  // a floating one stands for `dtype`, to which the trainer converts
  DType dtype = DType::f32;         // of parameters
  Device device = kCPU;             // meta: shapes only, nothing is initialised or loaded
  uint64_t seed = 0;
  // Reads the tensors of `weights.load`. May throw Error, which is reported at the key.
  std::function<StateDict(const std::string& path)> load_weights = {};
};

// One layer of the chain that has no layers of its own, in the order of the forward pass. Sizes are for one sample.
struct LayerInfo {
  std::string path;  // "layer1.0.conv1"
  std::string kind;  // "Conv2d"
  Shape output;      // without the batch axis
  int64_t parameters = 0;
  int64_t flops = 0;             // forward: 2 x multiply-adds
  int64_t activation_bytes = 0;  // of the output
  config::Value where;           // in the config, for carets
  // The value of a key of this layer; nullptr where the config does not state it.
  const config::Value* stated(std::string_view key) const;
};

struct BuiltModel {
  std::unique_ptr<Module> module;  // null where an error was reported
  std::vector<LayerInfo> layers;
  Shape input;   // without the batch axis
  Shape output;  // without the batch axis
  explicit operator bool() const { return module != nullptr; }
};

BuiltModel build_model(const config::Value& model, const BuildOptions& options, config::Report& report);

}  // namespace rstorch::nn
