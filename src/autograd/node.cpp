#include "autograd/node.h"

#include <algorithm>
#include <atomic>

#include "autograd/meta.h"

namespace rstorch {
namespace {

thread_local bool recording = true;
std::atomic<uint64_t> next_sequence{1};

Edge edge_of(const Tensor& x) {
  if (!x.defined() || !is_floating(x.dtype())) return {};
  const std::shared_ptr<TensorImpl>& impl = x.impl();
  if (impl->autograd && impl->autograd->grad_fn) return {impl->autograd->grad_fn, nullptr};
  if (impl->requires_grad) return {nullptr, impl};
  return {};
}

std::shared_ptr<Node> make_node(std::string_view name, const Tensor& y, std::span<const Tensor* const> inputs,
                                std::span<const Tensor* const> saves, Backward backward) {
  auto node = std::make_shared<Node>();
  node->name = name;
  node->sequence = next_sequence.fetch_add(1, std::memory_order_relaxed);
  node->inputs.reserve(inputs.size());
  for (const Tensor* input : inputs) node->inputs.push_back(edge_of(*input));
  node->saved.reserve(saves.size());
  for (const Tensor* saved : saves) {
    if (saved->defined()) {
      node->saved.push_back({saved->alias(), saved->impl()->storage->version()});
    } else {
      node->saved.push_back({});
    }
  }
  node->backward = std::move(backward);
  node->shape = y.shape();
  node->dtype = y.dtype();
  node->device = y.device();
  return node;
}

}  // namespace

bool grad_enabled() { return recording; }
NoGrad::NoGrad() : previous_(recording) { recording = false; }
NoGrad::~NoGrad() { recording = previous_; }
EnableGrad::EnableGrad() : previous_(recording) { recording = true; }
EnableGrad::~EnableGrad() { recording = previous_; }

AutogradMeta& autograd_meta(const Tensor& x) {
  std::shared_ptr<AutogradMeta>& meta = x.impl()->autograd;
  if (!meta) meta = std::make_shared<AutogradMeta>();
  return *meta;
}

// A chain of a million nodes must not take a million stack frames: nodes that only this one holds are moved to a list.
Node::~Node() {
  std::vector<std::shared_ptr<Node>> last_references;
  const auto collect = [&](std::vector<Edge>& edges) {
    for (Edge& edge : edges) {
      if (edge.node && edge.node.use_count() == 1) last_references.push_back(std::move(edge.node));
    }
  };
  collect(inputs);
  while (!last_references.empty()) {
    const std::shared_ptr<Node> node = std::move(last_references.back());
    last_references.pop_back();
    collect(node->inputs);
  }
}

const Tensor& Saved::operator[](int i) const {
  const SavedTensor& saved = node_.saved.at(size_t(i));
  if (saved.tensor.defined() && saved.tensor.impl()->storage->version() != saved.version) {
    throw AutogradError(format("{}: a tensor of shape {} that its gradient needs was changed in place ({} times) after {} ran",
                               node_.name, saved.tensor.shape().text(),
                               saved.tensor.impl()->storage->version() - saved.version, node_.name),
                        "use the out-of-place form, or clone() before the in-place write");
  }
  return saved.tensor;
}

Tensor Saved::empty_grad(int input, const Shape& shape, DType dtype, Device device) const {
  const std::shared_ptr<TensorImpl>& leaf = node_.inputs[size_t(input)].leaf;
  // A leaf that is two inputs of one operation gets two gradients, which must not share the buffer.
  const auto is_this_leaf = [&](const Edge& edge) { return edge.leaf == leaf; };
  if (leaf && std::count_if(node_.inputs.begin(), node_.inputs.end(), is_this_leaf) == 1) {
    const AutogradMeta& meta = autograd_meta(Tensor(leaf));
    const Tensor& buffer = meta.grad_buffer;
    const bool free = buffer.defined() && !meta.grad.defined() && !meta.arriving.defined() && meta.hooks.empty();
    if (free && buffer.shape() == shape && buffer.dtype() == dtype && buffer.device() == device && buffer.is_contiguous()) {
      return buffer;
    }
  }
  return Tensor::empty(shape, {dtype, device});
}

namespace detail {

bool wants_gradient(std::span<const Tensor* const> inputs) {
  for (const Tensor* input : inputs) {
    if (edge_of(*input).wanted()) return true;
  }
  return false;
}

Tensor record(std::string_view name, Tensor y, std::span<const Tensor* const> inputs, std::span<const Tensor* const> saves,
              Backward backward) {
  autograd_meta(y).grad_fn = make_node(name, y, inputs, saves, std::move(backward));
  return y;
}

void record_in_place(std::string_view name, const Tensor& x, std::span<const Tensor* const> inputs,
                     std::span<const Tensor* const> saves, Backward backward) {
  std::shared_ptr<Node> node = make_node(name, x, inputs, saves, std::move(backward));
  autograd_meta(x).grad_fn = std::move(node);
}

}  // namespace detail

void check_in_place(std::string_view name, const Tensor& x, std::span<const Tensor* const> others) {
  if (!grad_enabled()) return;
  const bool tracked = edge_of(x).wanted();
  if (x.is_leaf() && x.requires_grad()) {
    throw AutogradError(format("{}: a leaf tensor that requires grad cannot be changed in place", name),
                        "do it under NoGrad (optimizers do), or use the out-of-place form");
  }
  if ((tracked || detail::wants_gradient(others)) && x.impl()->storage->has_views()) {
    throw AutogradError(format("{}: in-place write to memory that there are views of: its gradient would not reach them",
                               name),
                        "use the out-of-place form (cat or stack of the parts), or clone() first");
  }
}

}  // namespace rstorch
