// The autograd members of Tensor.
#include "autograd/meta.h"
#include "autograd/node.h"

namespace rstorch {

bool Tensor::requires_grad() const {
  return impl_->requires_grad || !is_leaf();
}

Tensor& Tensor::set_requires_grad(bool on) {
  if (on && !is_floating(dtype())) {
    throw AutogradError(format("set_requires_grad: only floating tensors can require grad, this one is {}", name_of(dtype())));
  }
  if (!is_leaf()) {
    throw AutogradError("set_requires_grad: this tensor is the result of a recorded operation", "use detach() to leave the graph");
  }
  impl_->requires_grad = on;
  return *this;
}

bool Tensor::is_leaf() const { return !impl_->autograd || !impl_->autograd->grad_fn; }

Tensor Tensor::grad() const { return impl_->autograd ? impl_->autograd->grad : Tensor(); }

void Tensor::set_grad(const Tensor& grad) {
  if (grad.defined() && (grad.shape() != shape() || grad.dtype() != dtype())) {
    throw ShapeError(format("set_grad: the gradient is {} {}, the tensor {} {}", name_of(grad.dtype()), grad.shape().text(),
                            name_of(dtype()), shape().text()));
  }
  autograd_meta(*this).grad = grad;
}

void Tensor::zero_grad() {
  if (impl_->autograd) impl_->autograd->grad = {};
}

Tensor Tensor::detach() const { return alias(); }

void Tensor::register_hook(std::function<Tensor(const Tensor&)> hook) const {
  if (!requires_grad()) throw AutogradError("register_hook: the tensor does not require grad");
  AutogradMeta& meta = autograd_meta(*this);
  (meta.grad_fn ? meta.grad_fn->hooks : meta.hooks).push_back(std::move(hook));
}

void Tensor::register_post_accumulate_grad_hook(std::function<void(const Tensor&)> hook) const {
  if (!is_leaf() || !requires_grad()) {
    throw AutogradError("register_post_accumulate_grad_hook: only a leaf that requires grad accumulates");
  }
  autograd_meta(*this).post_accumulate_hooks.push_back(std::move(hook));
}

}  // namespace rstorch
