// Module: parameters, buffers and child modules under names, and a forward pass. PyTorch's shape and state_dict keys.
//
//   struct Net : nn::Module {
//     nn::Linear& hidden = register_module("hidden", nn::Linear(784, 128));
//     nn::Linear& head = register_module("head", nn::Linear(128, 10));
//     Tensor forward(const Tensor& x) override { return head(hidden(x).relu()); }
//   };
//
// A module owns its children and the slots of its tensors; members are references to them. So modules move and cannot
// be copied, and assigning to a slot ties weights: `head.weight = embedding.weight`. One thread at a time.
#pragma once

#include <concepts>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ops/ops.h"
#include "tensor/tensor.h"

namespace rstorch::nn {

struct NamedTensor {
  std::string name;
  Tensor tensor;
};
// In registration order. Tensors are detached and share memory with the module.
using StateDict = std::vector<NamedTensor>;

enum class Strict { yes, no };
// Keys that load_state_dict(dict, Strict::no) left alone.
struct LoadResult {
  std::vector<std::string> missing;     // in the module, not in the dict
  std::vector<std::string> unexpected;  // in the dict, not in the module
};

class Module {
 public:
  using Hook = std::function<void(Module& module, const Tensor& input, const Tensor& output)>;
  using PreHook = std::function<void(Module& module, const Tensor& input)>;

  Module() = default;
  virtual ~Module() = default;
  Module(Module&&) = default;

  virtual Tensor forward(const Tensor& x) = 0;
  // forward() between the hooks. An error on its way out learns the path of the module.
  Tensor operator()(const Tensor& x);
  // activation(forward(x)), for layers that can do both in one pass. Sequential uses it where such a module follows and
  // neither has hooks.
  virtual Tensor forward_with(Activation activation, const Tensor& x);
  Tensor call_with(Activation activation, const Tensor& x);  // is to forward_with what operator() is to forward

  // --- Tensors, by path: "layer1.0.conv1.weight" -------------------------------------------------------------------
  // A tensor that two modules share is listed once, under its first name; state_dict() has all names, as PyTorch's.
  std::vector<Tensor> parameters() const;
  std::vector<NamedTensor> named_parameters() const;
  std::vector<NamedTensor> named_buffers() const;
  StateDict state_dict() const;
  // Copies values (any device, floating dtypes are converted). Throws CheckpointError naming every missing, unexpected
  // and misshapen key at once; nothing was written then.
  LoadResult load_state_dict(const StateDict& dict, Strict strict = Strict::yes);
  void zero_grad();
  int64_t parameter_count() const;  // elements

  // --- Mode and place
  // --------------------------------------------------------------------------------------------------
  void train();
  void eval();
  bool is_training() const { return training_; }
  // Tensors keep their identity, so an optimizer made before still sees them.
  void to(Device device);
  void to(DType dtype);  // floating parameters and buffers
  // Draws the initial values anew: this module's own tensors, not its children's.
  virtual void reset_parameters() {}
  // Multiply-adds of a forward pass from x to y, times two; 0 where elementwise work is all there is.
  virtual int64_t flops(const Shape& /*x*/, const Shape& /*y*/) const { return 0; }

  // --- The tree
  // ----------------------------------------------------------------------------------------------------------
  struct Child {
    std::string name;  // empty: its names are the parent's
    std::unique_ptr<Module> module;
  };
  const std::list<Child>& children() const { return children_; }
  const std::string& name() const { return name_; }
  // f(path, module) for this module (path "") and all below, parents first.
  void visit(const std::function<void(const std::string& path, Module& module)>& f);
  void apply(const std::function<void(Module& module)>& f);

  // Called before forward() with its input, and after it. For profiles and tests; a module with hooks is never fused.
  void register_forward_pre_hook(PreHook hook) { pre_hooks_.push_back(std::move(hook)); }
  void register_forward_hook(Hook hook) { hooks_.push_back(std::move(hook)); }
  bool has_hooks() const { return !hooks_.empty() || !pre_hooks_.empty(); }

  // This module's own tensors.
  const std::list<NamedTensor>& own_parameters() const { return parameters_; }
  const std::list<NamedTensor>& own_buffers() const { return buffers_; }

 protected:
  // Names have no dots and are taken once; throws ArgumentError. The references stay valid when the module moves.
  // A new parameter of this shape, uninitialised, requiring grad, in the current Placement (nn/placement.h).
  Tensor& register_parameter(const std::string& name, const Shape& shape);
  Tensor& register_parameter(const std::string& name, Tensor tensor);
  // An undefined one where it is not wanted: `bias: false`.
  Tensor& register_parameter_if(bool wanted, const std::string& name, const Shape& shape);
  Tensor& register_buffer(const std::string& name, Tensor tensor);
  template <std::derived_from<Module> M>
  M& register_module(const std::string& name, M module) {
    return static_cast<M&>(register_module(name, std::unique_ptr<Module>(std::make_unique<M>(std::move(module)))));
  }
  Module& register_module(const std::string& name, std::unique_ptr<Module> module);

 private:
  void check_name(const std::string& name) const;
  void set_training(bool training);
  template <class F>
  Tensor with_path(F&& run) const;
  void visit_below(const std::string& path, const std::function<void(const std::string&, Module&)>& f);

  std::string name_;
  bool training_ = true;
  std::list<NamedTensor> parameters_;  // lists: elements stay where they are
  std::list<NamedTensor> buffers_;
  std::list<Child> children_;
  std::vector<PreHook> pre_hooks_;
  std::vector<Hook> hooks_;
};

// "a" + "b" = "a.b"; an empty part adds nothing.
std::string join_path(const std::string& parent, const std::string& name);

}  // namespace rstorch::nn
