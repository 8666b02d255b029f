// Backward: nodes run from young to old, each once, when all its consumers have added to its gradient.
#include "autograd/engine.h"

#include <queue>

#include "autograd/meta.h"
#include "autograd/node.h"
#include "base/last_op.h"
#include "tensor/arithmetic.h"

namespace rstorch {
namespace {

struct Older {
  bool operator()(const Node* a, const Node* b) const { return a->sequence < b->sequence; }
};

// Puts engine fields back, also when a backward function throws.
class Pass {
 public:
  explicit Pass(Node* root) {
    std::vector<Node*> stack = {root};
    root->visited = true;
    while (!stack.empty()) {
      Node* node = stack.back();
      stack.pop_back();
      nodes_.push_back(node);
      for (const Edge& edge : node->inputs) {
        if (edge.leaf && ++autograd_meta(Tensor(edge.leaf)).pending == 1) leaves_.push_back(edge.leaf);
        if (!edge.node) continue;
        ++edge.node->pending;
        if (!edge.node->visited) {
          edge.node->visited = true;
          stack.push_back(edge.node.get());
        }
      }
    }
  }
  ~Pass() {
    for (Node* node : nodes_) {
      node->visited = false;
      node->pending = 0;
      node->gradient = {};
    }
    for (const std::shared_ptr<TensorImpl>& leaf : leaves_) {
      leaf->autograd->arriving = {};
      leaf->autograd->pending = 0;
    }
  }
  Pass(const Pass&) = delete;
  Pass& operator=(const Pass&) = delete;

 private:
  std::vector<Node*> nodes_;
  std::vector<std::shared_ptr<TensorImpl>> leaves_;
};

// What waits for the end of the pass on this thread. A pass within a pass, from a hook, has its own.
class EndOfPass {
 public:
  EndOfPass() : outer_(current) { current = this; }
  ~EndOfPass() { current = outer_; }
  EndOfPass(const EndOfPass&) = delete;
  EndOfPass& operator=(const EndOfPass&) = delete;

  void add(std::function<void()> f) { waiting_.push_back(std::move(f)); }
  void run() const {
    for (const auto& f : waiting_) f();
  }
  static thread_local EndOfPass* current;

 private:
  EndOfPass* outer_;
  std::vector<std::function<void()>> waiting_;
};
thread_local EndOfPass* EndOfPass::current = nullptr;

std::string text_of(const Shape& shape, DType dtype, Device device) {
  return format("{} {} on {}", name_of(dtype), shape.text(), device.text());
}

// What the gradient of an edge has to be like: the tensor that it belongs to.
struct Wanted {
  Shape shape;
  DType dtype;
  Device device;

  explicit Wanted(const Node& node) : shape(node.shape), dtype(node.dtype), device(node.device) {}
  explicit Wanted(const TensorImpl& leaf) : shape(leaf.shape), dtype(leaf.dtype), device(leaf.storage->device()) {}
  bool fits(const Tensor& x) const { return x.shape() == shape && x.dtype() == dtype && x.device() == device; }
  std::string text() const { return text_of(shape, dtype, device); }
};
std::string text_of(const Tensor& x) { return text_of(x.shape(), x.dtype(), x.device()); }

void check_gradient(const Node& node, size_t input, const Tensor& gradient, const Wanted& wanted) {
  if (wanted.fits(gradient)) return;
  throw InternalError(format("{}: the gradient of input {} is {}, the input {}", node.name, input,
                             text_of(gradient), wanted.text()));
}

// Each hook may put another gradient in the place of this one.
void run_hooks(const std::vector<std::function<Tensor(const Tensor&)>>& hooks, Tensor& gradient, const Wanted& wanted) {
  for (const auto& hook : hooks) {
    Tensor replaced = hook(gradient);
    if (!replaced.defined()) continue;
    if (!wanted.fits(replaced)) {
      throw AutogradError(
          format("a gradient hook returned {}, the gradient is {}", text_of(replaced), wanted.text()));
    }
    gradient = std::move(replaced);
  }
}

// Adds in place where nobody else can see the buffer, so that a sum of n gradients takes n - 1 passes and one buffer.
void accumulate(Tensor& into, const Tensor& gradient) {
  if (!into.defined()) {
    into = gradient;
    return;
  }
  const bool own = into.impl().use_count() == 1 && into.impl()->storage.use_count() == 1 && into.is_contiguous();
  into = own ? add_into(into, gradient) : add_new(into, gradient);
}

// One of the gradients of a leaf. The first may have been written where the leaf's gradient shall be.
void arrive(AutogradMeta& meta, const Tensor& gradient) {
  if (meta.arriving.defined() && meta.arriving.is_same(meta.grad_buffer))
    add_into(meta.arriving, gradient);
  else
    accumulate(meta.arriving, gradient);
}

// The gradient of a leaf in this pass, complete.
void finish_leaf(const std::shared_ptr<TensorImpl>& leaf, Tensor gradient) {
  const Tensor self{leaf};
  AutogradMeta& meta = autograd_meta(self);
  run_hooks(meta.hooks, gradient, Wanted(*leaf));
  if (meta.grad.defined()) {
    add_into(meta.grad, gradient);
  } else if (meta.grad_buffer.defined()) {
    if (!meta.grad_buffer.is_same(gradient)) copy_into(meta.grad_buffer, gradient);
    meta.grad = meta.grad_buffer;
  } else {
    // The gradient may be shared with another input's, or be an expanded view: a leaf owns what it accumulates into.
    const bool own =
        gradient.impl().use_count() == 1 && gradient.impl()->storage.use_count() == 1 && gradient.is_contiguous();
    meta.grad = own ? gradient.detach() : copy_new(gradient);
  }
  for (const auto& hook : meta.post_accumulate_hooks) hook(self);
}

void run_pass(Node& root, const Tensor& seed, bool retain_graph) {
  const Pass pass(&root);
  std::priority_queue<Node*, std::vector<Node*>, Older> ready;
  root.gradient = seed;
  ready.push(&root);
  while (!ready.empty()) {
    Node& node = *ready.top();
    ready.pop();
    Tensor dy = std::move(node.gradient);
    node.gradient = {};
    if (dy.defined()) {
      run_hooks(node.hooks, dy, Wanted(node));
      if (!node.backward) {
        throw AutogradError(format("{}: backward ran through this graph before and its saved tensors are gone", node.name),
                            "pass retain_graph = true to the first backward, or run the forward pass again");
      }
      last_op = node.name;
      Grads grads = node.backward(Saved(node), dy);
      dy = {};
      if (grads.size() != node.inputs.size()) {
        throw InternalError(format("{}: backward gave {} gradients for {} inputs", node.name, grads.size(), node.inputs.size()));
      }
      for (size_t i = 0; i < grads.size(); ++i) {
        const Edge& edge = node.inputs[i];
        if (!edge.wanted() || !grads[i].defined()) continue;
        check_gradient(node, i, grads[i], edge.node ? Wanted(*edge.node) : Wanted(*edge.leaf));
        const Tensor gradient = std::move(grads[i]);
        if (edge.node)
          accumulate(edge.node->gradient, gradient);
        else
          arrive(*edge.leaf->autograd, gradient);
      }
    }
    for (const Edge& edge : node.inputs) {
      if (edge.node && --edge.node->pending == 0) ready.push(edge.node.get());
      if (edge.leaf && --edge.leaf->autograd->pending == 0 && edge.leaf->autograd->arriving.defined())
        finish_leaf(edge.leaf, std::move(edge.leaf->autograd->arriving));
    }
    if (!retain_graph) {
      node.backward = nullptr;
      node.saved.clear();
    }
  }
}

}  // namespace

void Tensor::backward(const Tensor& gradient, bool retain_graph) const {
  if (!defined()) throw AutogradError("backward: the tensor is undefined");
  if (!requires_grad()) {
    throw AutogradError("backward: the tensor does not require grad and has no operation behind it",
                        "set_requires_grad(true) on a leaf before the forward pass, and leave NoGrad");
  }
  Tensor seed = gradient;
  if (!seed.defined()) {
    if (numel() != 1) {
      throw AutogradError(format("backward: a gradient must be given for a tensor of shape {}", shape().text()),
                          "only a tensor with one element can leave it out: take sum() or mean() first");
    }
    seed = ones_like(*this);
  }
  if (seed.shape() != shape() || seed.dtype() != dtype()) {
    throw AutogradError(format("backward: the gradient is {} {}, the tensor {} {}", name_of(seed.dtype()), seed.shape().text(),
                               name_of(dtype()), shape().text()));
  }
  const NoGrad no_grad;
  EndOfPass end;
  if (const std::shared_ptr<Node> root = autograd_meta(*this).grad_fn)
    run_pass(*root, seed, retain_graph);
  else
    finish_leaf(impl(), copy_new(seed));
  end.run();
}

void at_end_of_backward(std::function<void()> f) {
  if (!EndOfPass::current) throw AutogradError("at_end_of_backward: no backward pass runs on this thread");
  EndOfPass::current->add(std::move(f));
}

}  // namespace rstorch
