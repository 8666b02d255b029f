#include "tensor/tensor.h"

#include "base/last_op.h"
#include "tensor/arithmetic.h"
#include "tensor/runtime.h"

namespace rstorch {

int64_t Tensor::size(int dim) const {
  const int dims = this->dim();
  if (dim < -dims || dim >= dims) {
    throw ShapeError(format("size: dimension {} of a tensor of shape {}", dim, shape().text()),
                     format("dimensions are {} to {}", -dims, dims - 1));
  }
  return impl_->shape[dim < 0 ? dim + dims : dim];
}

void* Tensor::raw_data() const {
  char* const base = static_cast<char*>(impl_->storage->data());
  return base == nullptr ? nullptr : base + size_t(impl_->offset) * size_of(impl_->dtype);
}

ConstView Tensor::view() const {
  if (!impl_) return {};
  return {raw_data(), impl_->shape, impl_->strides, impl_->dtype};
}

View Tensor::mutable_view() const {
  if (!impl_) return {};
  return {raw_data(), impl_->shape, impl_->strides, impl_->dtype};
}

void Tensor::check_host_access(DType wanted) const {
  if (dtype() != wanted) {
    throw DTypeError(format("data: the tensor is {}, asked for {}", name_of(dtype()), name_of(wanted)), "convert with to(dtype)");
  }
  if (!device().is_cpu()) throw DeviceError(format("data: the tensor is on {}", device().text()), "move it with to(\"cpu\")");
}

Tensor Tensor::alias(const Shape& shape, const Strides& strides, int64_t offset) const {
  auto impl = std::make_shared<TensorImpl>();
  impl->storage = impl_->storage;
  impl->shape = shape;
  impl->strides = strides;
  impl->offset = offset;
  impl->dtype = impl_->dtype;
  return Tensor(std::move(impl));
}

Tensor Tensor::part(const Shape& shape, int64_t offset) const {
  const size_t size = size_of(impl_->dtype);
  auto impl = std::make_shared<TensorImpl>();
  impl->storage =
      std::make_shared<Storage>(impl_->storage, size_t(impl_->offset + offset) * size, size_t(shape.numel()) * size);
  impl->shape = shape;
  impl->strides = contiguous_strides(shape);
  impl->dtype = impl_->dtype;
  return Tensor(std::move(impl));
}

void Tensor::set_data(const Tensor& source) const {
  impl_->storage = source.impl_->storage;
  impl_->shape = source.impl_->shape;
  impl_->strides = source.impl_->strides;
  impl_->offset = source.impl_->offset;
  impl_->dtype = source.impl_->dtype;
}

Scalar Tensor::item_scalar() const {
  if (numel() != 1) {
    throw ShapeError(format("item: the tensor has shape {}, wanted one element", shape().text()), "use to_vector() for many");
  }
  if (device().is_meta()) throw DeviceError("item: a meta tensor has no values");
  last_op = "item";
  Scalar out = 0;
  dispatch(AllTypes{}, dtype(), "item", [&](auto type) {
    using T = typename decltype(type)::type;
    T value{};
    Stream& stream = current_stream(device());
    stream.copy_bytes(&value, raw_data(), sizeof(T));
    stream.synchronize();
    if constexpr (std::is_same_v<T, bf16> || std::is_same_v<T, f16>) out = float(value);
    else out = value;
  });
  return out;
}

template <class T>
std::vector<T> Tensor::to_vector() const {
  if (device().is_meta()) throw DeviceError("to_vector: a meta tensor has no values");
  last_op = "to_vector";
  const Tensor x = is_contiguous() ? *this : copy_new(*this);
  std::vector<T> out(static_cast<size_t>(numel()));
  dispatch(AllTypes{}, dtype(), "to_vector", [&](auto type) {
    using S = typename decltype(type)::type;
    const auto values = std::make_unique<S[]>(out.size());  // not std::vector: vector<bool> has no data()
    Stream& stream = current_stream(device());
    stream.copy_bytes(values.get(), x.raw_data(), out.size() * sizeof(S));
    stream.synchronize();
    for (size_t i = 0; i < out.size(); ++i) {
      if constexpr (std::is_same_v<S, bf16> || std::is_same_v<S, f16>) out[i] = T(float(values[i]));
      else out[i] = T(values[i]);
    }
  });
  return out;
}

template std::vector<float> Tensor::to_vector() const;
template std::vector<double> Tensor::to_vector() const;
template std::vector<int64_t> Tensor::to_vector() const;
template std::vector<int32_t> Tensor::to_vector() const;
template std::vector<uint8_t> Tensor::to_vector() const;
template std::vector<bool> Tensor::to_vector() const;

}  // namespace rstorch
