// The layers of a config, read and checked, before any shape is known: what names and nesting they have.
#pragma once

#include <string>
#include <vector>

#include "config/report.h"
#include "config/value.h"
#include "nn/layer.h"

namespace rstorch::nn {

struct LayerNode {
  enum class Kind { layer, sequence, residual };
  enum class Shortcut { identity, automatic, layers };

  Kind kind = Kind::layer;
  std::string name;               // the state_dict key's part; empty: the index, or no level for a Residual
  std::string label;              // what a reader calls it: its name, else its kind; empty: its place
  config::Value where;            // for carets
  LayerRegistry::Recipe recipe;   // layer; empty where an error was reported
  std::vector<LayerNode> layers;  // sequence, residual (the body)
  Shortcut shortcut = Shortcut::identity;
  std::vector<LayerNode> shortcut_layers;
};

// Reads `model.layers`, putting the layers of `model.blocks` in place. Errors go to the report; what could not be read
// comes back as a layer with an empty recipe.
std::vector<LayerNode> read_layers(const config::Value& layers, const std::map<std::string, config::Value>& blocks,
                                   config::Report& report);

// Names that are given twice where they make one state_dict key: on one level, to which the body of an unnamed Residual
// belongs. Clashes of indices show later, when it is known which layers have tensors.
void check_names(const std::vector<LayerNode>& layers, config::Report& report);

// Every kind that may stand in a list of layers: the registered ones, Residual and Sequential.
const config::KindTable& layer_kinds();

}  // namespace rstorch::nn
