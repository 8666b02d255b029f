// One recorded operation, and how operations record themselves.
//
// A graph is nodes that point at the nodes (or leaves) their inputs came from. Every node has one output. Backward functions
// are written with ops and get everything through `Saved`; their lambdas capture small values, never tensors, so what a graph
// keeps alive is exactly its nodes' lists of saved tensors.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "autograd/grad_mode.h"
#include "tensor/tensor.h"

namespace rstorch {

// Gradients of a node's inputs, in their order. An undefined tensor means zero, or not needed.
using Grads = std::vector<Tensor>;

class Saved;
using Backward = std::function<Grads(const Saved& saved, const Tensor& dy)>;

// Where an input came from.
struct Edge {
  std::shared_ptr<Node> node;        // the operation that made it, or
  std::shared_ptr<TensorImpl> leaf;  // the leaf itself; neither: no gradient is wanted
  bool wanted() const { return node != nullptr || leaf != nullptr; }
};

// A detached alias of a tensor, and the version of its buffer at that time.
struct SavedTensor {
  Tensor tensor;
  uint64_t version = 0;
};

struct Node {
  ~Node();  // releases long chains iteratively

  std::string_view name;
  uint64_t sequence = 0;  // order of creation: backward runs nodes from young to old
  std::vector<Edge> inputs;
  std::vector<SavedTensor> saved;
  Backward backward;  // empty after a backward pass that did not retain the graph
  Shape shape;        // of the output
  DType dtype = DType::f32;
  Device device;
  std::vector<std::function<Tensor(const Tensor&)>> hooks;  // on the output's gradient

  // Used by the engine while a pass runs.
  Tensor gradient;
  int pending = 0;
  bool visited = false;
};

// What a backward function sees: saved[0], saved[1], ...
class Saved {
 public:
  explicit Saved(const Node& node) : node_(node) {}
  // The i-th saved tensor. Throws AutogradError if it was written in place since.
  const Tensor& operator[](int i) const;
  // True if the gradient of the i-th input is wanted: work for others can be left out.
  bool needs(int input) const { return node_.inputs[size_t(input)].wanted(); }
  // Where to write the gradient of the i-th input, uninitialised and contiguous: the leaf's own gradient buffer if it has an
  // empty one, which saves a copy, else new memory. Call it once per input, and return the tensor as that input's gradient.
  Tensor empty_grad(int input, const Shape& shape, DType dtype, Device device) const;

 private:
  const Node& node_;
};

namespace detail {
bool wants_gradient(std::span<const Tensor* const> inputs);
Tensor record(std::string_view name, Tensor y, std::span<const Tensor* const> inputs, std::span<const Tensor* const> saves,
              Backward backward);
void record_in_place(std::string_view name, const Tensor& x, std::span<const Tensor* const> inputs,
                     std::span<const Tensor* const> saves, Backward backward);
}  // namespace detail

// Lists for record(): `inputs(x, weight)`, `saves(y)`. Undefined tensors are allowed.
template <class... Ts>
std::array<const Tensor*, sizeof...(Ts)> inputs(const Ts&... tensors) {
  return {&tensors...};
}
template <class... Ts>
std::array<const Tensor*, sizeof...(Ts)> saves(const Ts&... tensors) {
  return {&tensors...};
}

// True where record() ties a result of these inputs to them: what is for a backward pass alone can be left out elsewhere.
template <size_t N>
bool is_recorded(const std::array<const Tensor*, N>& inputs) {
  return grad_enabled() && detail::wants_gradient(inputs);
}

// Ties the gradient of y = name(inputs...) to y and returns y. Costs a check and nothing else where no gradient is wanted.
template <size_t N, size_t M, class F>
Tensor record(std::string_view name, Tensor y, const std::array<const Tensor*, N>& inputs,
              const std::array<const Tensor*, M>& saves, F&& backward) {
  if (!is_floating(y.dtype()) || !is_recorded(inputs)) return y;
  return detail::record(name, std::move(y), inputs, saves, std::forward<F>(backward));
}

// The same for x written in place by name(x, inputs...); inputs[0] must be x as it was before. Call check_in_place first.
template <size_t N, size_t M, class F>
void record_in_place(std::string_view name, const Tensor& x, const std::array<const Tensor*, N>& inputs,
                     const std::array<const Tensor*, M>& saves, F&& backward) {
  if (!is_floating(x.dtype()) || !is_recorded(inputs)) return;
  detail::record_in_place(name, x, inputs, saves, std::forward<F>(backward));
}

// Throws AutogradError where writing `x` in place would make a recorded gradient wrong: a leaf that requires grad, or a
// buffer with views, if x or one of the operands `others` has a gradient. To be called before the write.
void check_in_place(std::string_view name, const Tensor& x, std::span<const Tensor* const> others = {});

}  // namespace rstorch
