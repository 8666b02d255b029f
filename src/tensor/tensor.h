// Tensor: a handle to a typed, strided view of a Storage, with PyTorch's meaning. Copies of the handle are the same tensor.
//
// The members below "ops" are the method spelling of the functions in ops/ops.h, which has their contracts; they are defined
// in src/ops, so a program that uses them links that layer. A tensor may be used by one thread at a time.
#pragma once

#include <functional>
#include <iosfwd>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/dtype.h"
#include "base/scalar.h"
#include "base/shape.h"
#include "base/view.h"
#include "tensor/storage.h"

namespace rstorch {

class Tensor;
struct AutogradMeta;  // autograd/meta.h
struct Node;          // autograd/node.h

struct TensorOptions {
  DType dtype = DType::f32;
  Device device = kCPU;
  bool requires_grad = false;
};

// What the handles share. Fields are changed by Tensor, autograd and the parameter arena only.
struct TensorImpl {
  std::shared_ptr<Storage> storage;
  Shape shape;
  Strides strides;
  int64_t offset = 0;  // of element 0, in elements
  DType dtype = DType::f32;
  bool requires_grad = false;              // asked for by the user; leaves only
  std::shared_ptr<AutogradMeta> autograd;  // null until the tensor takes part in a graph
};

class Tensor {
 public:
  Tensor() = default;  // undefined: "no tensor"
  explicit Tensor(std::shared_ptr<TensorImpl> impl) : impl_(std::move(impl)) {}

  // --- What it is -------------------------------------------------------------------------------------------------
  bool defined() const { return impl_ != nullptr; }
  const Shape& shape() const { return impl_->shape; }
  const Strides& strides() const { return impl_->strides; }
  int64_t offset() const { return impl_->offset; }
  int dim() const { return impl_->shape.dims(); }
  int64_t size(int dim) const;  // negative dims count from the end. Throws ShapeError out of range.
  int64_t numel() const { return impl_->shape.numel(); }
  DType dtype() const { return impl_->dtype; }
  Device device() const { return impl_->storage->device(); }
  size_t bytes() const { return size_t(numel()) * size_of(dtype()); }
  bool is_contiguous() const { return rstorch::is_contiguous(impl_->shape, impl_->strides); }
  bool is_same(const Tensor& other) const { return impl_ == other.impl_; }  // the same tensor, not equal values
  TensorOptions options() const { return {dtype(), device(), false}; }

  // --- For kernels and for reading on the CPU -----------------------------------------------------------------------
  ConstView view() const;
  View mutable_view() const;
  // First element. Throws DTypeError if T is not the dtype, DeviceError off the CPU.
  template <class T>
  T* data() const {
    check_host_access(dtype_of<T>());
    return static_cast<T*>(raw_data());
  }
  void* raw_data() const;
  // All elements in row-major order, copied to the host and converted to T.
  template <class T>
  std::vector<T> to_vector() const;
  // The value of a tensor with one element; waits for the device.
  template <class T = double>
  T item() const {
    return item_scalar().as<T>();
  }
  Scalar item_scalar() const;
  // As PyTorch prints: "tensor([1., 2.])".
  std::string text() const;

  // --- Factories ------------------------------------------------------------------------------------------------------
  static Tensor empty(const Shape& shape, const TensorOptions& options = {});
  static Tensor zeros(const Shape& shape, const TensorOptions& options = {});
  static Tensor ones(const Shape& shape, const TensorOptions& options = {});
  static Tensor full(const Shape& shape, Scalar value, const TensorOptions& options = {});
  // start, start + step, ... below end (above, for a negative step). The dtype defaults to i64 or, for a float, f32.
  static Tensor arange(Scalar start, Scalar end, Scalar step, std::optional<DType> dtype = {});
  static Tensor arange(Scalar end) { return arange(0, end, 1); }
  static Tensor linspace(double start, double end, int64_t steps, const TensorOptions& options = {});
  static Tensor eye(int64_t n, const TensorOptions& options = {});
  static Tensor rand(const Shape& shape, const TensorOptions& options = {});   // uniform in [0, 1), default generator
  static Tensor randn(const Shape& shape, const TensorOptions& options = {});  // standard normal, default generator
  static Tensor randint(int64_t low, int64_t high, const Shape& shape, const TensorOptions& options = {.dtype = DType::i64});
  // A copy of row-major values; the dtype is T's.
  template <class T>
  static Tensor from(const std::vector<T>& values, const Shape& shape, const TensorOptions& options = {.dtype = dtype_of<T>()});
  template <class T>
  static Tensor from(std::initializer_list<T> values) {
    return from(std::vector<T>(values), {int64_t(values.size())});
  }
  // A tensor over memory of the CPU that `owner` keeps alive; contiguous.
  static Tensor wrap(void* data, const Shape& shape, DType dtype, std::shared_ptr<void> owner);
  static Tensor scalar(Scalar value, const TensorOptions& options = {});  // 0-d

  // --- Autograd (autograd/autograd.h) ----------------------------------------------------------------------------------
  bool requires_grad() const;
  // Leaf tensors of floating dtype only; throws AutogradError otherwise. Returns *this.
  Tensor& set_requires_grad(bool on);
  bool is_leaf() const;
  // The accumulated gradient; undefined until backward reached this leaf.
  Tensor grad() const;
  void set_grad(const Tensor& grad);
  void zero_grad();  // forgets the gradient, as PyTorch's zero_grad(set_to_none=True)
  // Adds d(this)/d(leaf), times `gradient` (which a scalar may leave out), to each leaf's grad.
  void backward(const Tensor& gradient = {}, bool retain_graph = false) const;
  // The same values outside the graph.
  Tensor detach() const;
  // Called with the gradient of this tensor when it is complete; what it returns, if defined, takes its place.
  void register_hook(std::function<Tensor(const Tensor&)> hook) const;
  // Leaf only. Called each time this leaf's grad was added to. The reducer of gradients hangs here.
  void register_post_accumulate_grad_hook(std::function<void(const Tensor&)> hook) const;

  // --- ops: shapes -------------------------------------------------------------------------------------------------------
  Tensor reshape(const Shape& shape) const;
  Tensor view(const Shape& shape) const;
  Tensor flatten(int start_dim = 0, int end_dim = -1) const;
  Tensor squeeze() const;
  Tensor squeeze(int dim) const;
  Tensor unsqueeze(int dim) const;
  Tensor transpose(int dim0, int dim1) const;
  Tensor t() const;
  Tensor permute(const std::vector<int>& dims) const;
  Tensor expand(const Shape& shape) const;
  Tensor slice(int dim, int64_t start, int64_t end, int64_t step = 1) const;
  Tensor narrow(int dim, int64_t start, int64_t length) const;
  Tensor select(int dim, int64_t index) const;
  Tensor operator[](int64_t index) const { return select(0, index); }
  std::vector<Tensor> split(int64_t size, int dim = 0) const;
  Tensor contiguous() const;
  Tensor clone() const;
  Tensor to(DType dtype) const;
  Tensor to(Device device) const;
  Tensor to(const char* device) const { return to(Device(device)); }
  Tensor index_select(int dim, const Tensor& index) const;
  Tensor gather(int dim, const Tensor& index) const;

  // --- ops: elementwise -----------------------------------------------------------------------------------------------------
  Tensor operator-() const;
  Tensor exp() const;
  Tensor log() const;
  Tensor sqrt() const;
  Tensor rsqrt() const;
  Tensor abs() const;
  Tensor sin() const;
  Tensor cos() const;
  Tensor tanh() const;
  Tensor sigmoid() const;
  Tensor relu() const;
  Tensor pow(Scalar exponent) const;
  Tensor pow(const Tensor& exponent) const;
  Tensor clamp(std::optional<Scalar> min, std::optional<Scalar> max) const;
  Tensor masked_fill(const Tensor& mask, Scalar value) const;
  Tensor& add_(const Tensor& other, Scalar alpha = 1);
  Tensor& sub_(const Tensor& other, Scalar alpha = 1);
  Tensor& lerp_(const Tensor& end, double weight);  // += weight (end - *this)
  Tensor& mul_(const Tensor& other);
  Tensor& div_(const Tensor& other);
  Tensor& add_(Scalar other);
  Tensor& mul_(Scalar other);
  Tensor& fill_(Scalar value);
  Tensor& zero_() { return fill_(0); }
  Tensor& copy_(const Tensor& source);
  Tensor& operator+=(const Tensor& other) { return add_(other); }
  Tensor& operator-=(const Tensor& other) { return sub_(other); }
  Tensor& operator*=(const Tensor& other) { return mul_(other); }
  Tensor& operator/=(const Tensor& other) { return div_(other); }

  // --- ops: reductions and products --------------------------------------------------------------------------------------------
  Tensor sum() const;
  Tensor sum(const std::vector<int>& dims, bool keepdim = false) const;
  Tensor mean() const;
  Tensor mean(const std::vector<int>& dims, bool keepdim = false) const;
  Tensor var(const std::vector<int>& dims, bool keepdim = false, int64_t correction = 1) const;
  Tensor prod() const;
  Tensor prod(int dim, bool keepdim = false) const;
  Tensor max() const;
  Tensor min() const;
  Tensor amax(const std::vector<int>& dims, bool keepdim = false) const;
  Tensor amin(const std::vector<int>& dims, bool keepdim = false) const;
  Tensor argmax(int dim, bool keepdim = false) const;
  Tensor matmul(const Tensor& other) const;
  Tensor softmax(int dim) const;
  Tensor log_softmax(int dim) const;

  // --- Inside the library ----------------------------------------------------------------------------------------------------------
  const std::shared_ptr<TensorImpl>& impl() const { return impl_; }
  // The same buffer seen through another shape; not recorded by autograd.
  Tensor alias(const Shape& shape, const Strides& strides, int64_t offset) const;
  Tensor alias() const { return alias(shape(), strides(), offset()); }
  // Contiguous elements from `offset` on, behind this tensor's first one, as a storage of its own: autograd tells writes
  // to it from writes to the rest. Of a contiguous tensor.
  Tensor part(const Shape& shape, int64_t offset) const;
  // Makes this handle and all its copies show `source`'s memory, keeping autograd state. For parameters that move.
  void set_data(const Tensor& source) const;

 private:
  void check_host_access(DType wanted) const;

  std::shared_ptr<TensorImpl> impl_;
};

// An uninitialised tensor of the same shape, dtype and device; contiguous.
Tensor empty_like(const Tensor& x);
Tensor empty_like(const Tensor& x, DType dtype);
Tensor zeros_like(const Tensor& x);
Tensor ones_like(const Tensor& x);
Tensor full_like(const Tensor& x, Scalar value);
Tensor rand_like(const Tensor& x);
Tensor randn_like(const Tensor& x);

std::ostream& operator<<(std::ostream& out, const Tensor& x);

}  // namespace rstorch
