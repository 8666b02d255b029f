#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/last_op.h"
#include "kernels/copy.h"
#include "kernels/random.h"
#include "tensor/generator.h"
#include "tensor/runtime.h"
#include "tensor/tensor.h"

namespace rstorch {
namespace {

Tensor finish(Tensor x, const TensorOptions& options) {
  if (options.requires_grad && !is_floating(options.dtype)) {
    throw AutogradError(format("only floating tensors can require grad, this one is {}", name_of(options.dtype)));
  }
  x.impl()->requires_grad = options.requires_grad;
  return x;
}

Tensor allocate(const Shape& shape, DType dtype, Device device) {
  int64_t elements = 1, bytes = 0;
  bool fits = true;
  for (const int64_t size : shape) {
    if (size < 0) throw ShapeError(format("empty: a size is negative: {}", shape.text()));
    fits &= !__builtin_mul_overflow(elements, size, &elements);
  }
  fits &= !__builtin_mul_overflow(elements, int64_t(size_of(dtype)), &bytes);
  if (!fits) throw OutOfMemoryError(format("empty: shape {} has more bytes than a machine can address", shape.text()));
  auto impl = std::make_shared<TensorImpl>();
  try {
    impl->storage = std::make_shared<Storage>(device, size_t(bytes));
  } catch (const OutOfMemoryError& e) {
    OutOfMemoryError error(
        format("{}; for {} {}, after the operation {} began", e.what(), name_of(dtype), shape.text(), last_op),
        e.hint());
    error.wanted = e.wanted;
    error.in_use = e.in_use;
    error.free = e.free;
    throw error;
  }
  impl->shape = shape;
  impl->strides = contiguous_strides(shape);
  impl->dtype = dtype;
  return Tensor(std::move(impl));
}

template <class T>
Tensor copy_of(const T* values, size_t count, const Shape& shape, Device device) {
  if (int64_t(count) != shape.numel()) {
    throw ShapeError(format("from: {} values for shape {}, which has {} elements", count, shape.text(), shape.numel()));
  }
  last_op = "from";
  Tensor x = allocate(shape, dtype_of<T>(), device);
  Stream& stream = current_stream(device);
  stream.copy_bytes(x.raw_data(), values, count * sizeof(T));
  stream.synchronize();  // the source may go away
  return x;
}

void require_floating(const char* what, DType dtype) {
  if (!is_floating(dtype)) throw DTypeError(format("{}: wanted a floating dtype, got {}", what, name_of(dtype)));
}

}  // namespace

Tensor Tensor::empty(const Shape& shape, const TensorOptions& options) {
  return finish(allocate(shape, options.dtype, options.device), options);
}

Tensor Tensor::full(const Shape& shape, Scalar value, const TensorOptions& options) {
  Tensor x = allocate(shape, options.dtype, options.device);
  kernels::fill(current_stream(options.device), x.mutable_view(), value);
  return finish(std::move(x), options);
}

Tensor Tensor::zeros(const Shape& shape, const TensorOptions& options) { return full(shape, 0, options); }
Tensor Tensor::ones(const Shape& shape, const TensorOptions& options) { return full(shape, 1, options); }
Tensor Tensor::scalar(Scalar value, const TensorOptions& options) { return full({}, value, options); }

Tensor Tensor::arange(Scalar start, Scalar end, Scalar step, std::optional<DType> dtype) {
  const double first = start.as<double>(), last = end.as<double>(), stride = step.as<double>();
  if (stride == 0 || !std::isfinite(first) || !std::isfinite(last) || (last - first) * stride < 0) {
    throw ArgumentError(format("arange: start {}, end {} and step {} do not make a sequence", first, last, stride));
  }
  const bool integral = start.kind() != DType::f64 && end.kind() != DType::f64 && step.kind() != DType::f64;
  const DType type = dtype.value_or(integral ? DType::i64 : DType::f32);
  const auto count = int64_t(std::ceil((last - first) / stride));
  Tensor out = allocate({count}, type, kCPU);
  dispatch(AllTypes{}, type, "arange", [&](auto t) {
    using T = typename decltype(t)::type;
    T* const values = out.data<T>();
    for (int64_t i = 0; i < count; ++i) {
      if (integral)
        values[i] = Scalar(start.as<int64_t>() + i * step.as<int64_t>()).as<T>();
      else
        values[i] = Scalar(first + double(i) * stride).as<T>();
    }
  });
  return out;
}

Tensor Tensor::linspace(double start, double end, int64_t steps, const TensorOptions& options) {
  if (steps < 0) throw ArgumentError(format("linspace: steps is {}, wanted at least 0", steps));
  std::vector<double> values(static_cast<size_t>(steps));
  const double step = steps > 1 ? (end - start) / double(steps - 1) : 0;
  // From both ends, as PyTorch, so that the last value is exactly `end`.
  for (int64_t i = 0; i < steps; ++i) {
    values[size_t(i)] = i < (steps + 1) / 2 ? start + step * double(i) : end - step * double(steps - 1 - i);
  }
  return from(values, {steps}, options);
}

Tensor Tensor::eye(int64_t n, const TensorOptions& options) {
  Tensor x = zeros({n, n}, {options.dtype, options.device});
  const Tensor diagonal = x.alias({n}, {n + 1}, 0);
  kernels::fill(current_stream(options.device), diagonal.mutable_view(), 1);
  return finish(std::move(x), options);
}

Tensor Tensor::rand(const Shape& shape, const TensorOptions& options) {
  require_floating("rand", options.dtype);
  Tensor x = allocate(shape, options.dtype, options.device);
  kernels::random_uniform(current_stream(options.device), next_random_key(), 0.0, 1.0, x.mutable_view());
  return finish(std::move(x), options);
}

Tensor Tensor::randn(const Shape& shape, const TensorOptions& options) {
  require_floating("randn", options.dtype);
  Tensor x = allocate(shape, options.dtype, options.device);
  kernels::random_normal(current_stream(options.device), next_random_key(), 0.0, 1.0, x.mutable_view());
  return finish(std::move(x), options);
}

Tensor Tensor::randint(int64_t low, int64_t high, const Shape& shape, const TensorOptions& options) {
  if (low >= high)
    throw ArgumentError(format("randint: low is {}, high {}: the range [low, high) is empty", low, high));
  Tensor x = allocate(shape, options.dtype, options.device);
  kernels::random_integer(current_stream(options.device), next_random_key(), low, high, x.mutable_view());
  return finish(std::move(x), options);
}

template <class T>
Tensor Tensor::from(const std::vector<T>& values, const Shape& shape, const TensorOptions& options) {
  Tensor x;
  if constexpr (std::is_same_v<T, bool>) {
    const std::vector<uint8_t> bytes(values.begin(), values.end());
    x = copy_of(reinterpret_cast<const bool*>(bytes.data()), bytes.size(), shape, options.device);
  } else {
    x = copy_of(values.data(), values.size(), shape, options.device);
  }
  if (x.dtype() != options.dtype) {
    Tensor cast = allocate(shape, options.dtype, options.device);
    kernels::copy(current_stream(options.device), x.view(), cast.mutable_view());
    x = cast;
  }
  return finish(std::move(x), options);
}

template Tensor Tensor::from(const std::vector<float>&, const Shape&, const TensorOptions&);
template Tensor Tensor::from(const std::vector<double>&, const Shape&, const TensorOptions&);
template Tensor Tensor::from(const std::vector<int64_t>&, const Shape&, const TensorOptions&);
template Tensor Tensor::from(const std::vector<int32_t>&, const Shape&, const TensorOptions&);
template Tensor Tensor::from(const std::vector<uint8_t>&, const Shape&, const TensorOptions&);
template Tensor Tensor::from(const std::vector<bool>&, const Shape&, const TensorOptions&);

Tensor Tensor::wrap(void* data, const Shape& shape, DType dtype, std::shared_ptr<void> owner) {
  auto impl = std::make_shared<TensorImpl>();
  impl->storage = std::make_shared<Storage>(data, size_t(shape.numel()) * size_of(dtype), std::move(owner));
  impl->shape = shape;
  impl->strides = contiguous_strides(shape);
  impl->dtype = dtype;
  return Tensor(std::move(impl));
}

Tensor empty_like(const Tensor& x) { return allocate(x.shape(), x.dtype(), x.device()); }
Tensor empty_like(const Tensor& x, DType dtype) { return allocate(x.shape(), dtype, x.device()); }
Tensor zeros_like(const Tensor& x) { return full_like(x, 0); }
Tensor ones_like(const Tensor& x) { return full_like(x, 1); }
Tensor full_like(const Tensor& x, Scalar value) { return Tensor::full(x.shape(), value, x.options()); }
Tensor rand_like(const Tensor& x) { return Tensor::rand(x.shape(), x.options()); }
Tensor randn_like(const Tensor& x) { return Tensor::randn(x.shape(), x.options()); }

}  // namespace rstorch
