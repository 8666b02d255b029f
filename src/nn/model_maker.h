// Makes the modules of a layer tree on the meta device, working out every shape on the way.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "nn/builder.h"
#include "nn/layer_tree.h"
#include "nn/sequential.h"
#include "nn/shape_chain.h"

namespace rstorch::nn {

class ModelMaker {
 public:
  // `path`: of the model's own value, for messages.
  ModelMaker(const Shape& sample, DType dtype, config::Report& report);

  // Null where an error was reported.
  std::unique_ptr<Sequential> make(const std::vector<LayerNode>& layers);
  const std::vector<LayerInfo>& infos() const { return infos_; }
  Shape output() const;  // without the batch axis; where make() gave a module

 private:
  // Each takes the current activation x_ on; x_ becomes undefined where the shape is not known after an error.
  std::unique_ptr<Module> make_node(const LayerNode& node, const std::string& path);
  std::unique_ptr<Sequential> make_sequence(const std::vector<LayerNode>& layers, const std::string& path);
  std::unique_ptr<Module> make_layer(const LayerNode& node, const std::string& path);
  std::unique_ptr<Module> make_residual(const LayerNode& node, const std::string& path);
  std::unique_ptr<Module> make_projection(const LayerNode& node, const std::string& path, const Shape& to);
  // Runs a module on x_ and notes it.
  void run(Module& module, const std::string& path, std::string_view kind, const config::Value& where);
  void misfit(const config::Value& where, const std::string& path, const std::string& label, const std::string& help);

  config::Report& report_;
  Tensor x_;  // meta, [1, ...]
  ShapeChain chain_;
  std::vector<LayerInfo> infos_;
};

}  // namespace rstorch::nn
