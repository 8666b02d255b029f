// The method spelling of the functions in ops.h.
#include "ops/ops.h"

namespace rstorch {

Tensor Tensor::reshape(const Shape& shape) const { return rstorch::reshape(*this, shape); }
Tensor Tensor::view(const Shape& shape) const { return rstorch::view(*this, shape); }
Tensor Tensor::flatten(int start_dim, int end_dim) const { return rstorch::flatten(*this, start_dim, end_dim); }
Tensor Tensor::squeeze() const { return rstorch::squeeze(*this); }
Tensor Tensor::squeeze(int dim) const { return rstorch::squeeze(*this, dim); }
Tensor Tensor::unsqueeze(int dim) const { return rstorch::unsqueeze(*this, dim); }
Tensor Tensor::transpose(int dim0, int dim1) const { return rstorch::transpose(*this, dim0, dim1); }
Tensor Tensor::t() const {
  if (dim() > 2)
    throw ShapeError(format("t: the tensor has shape {}, wanted at most 2 dimensions", shape().text()),
                     "use transpose");
  return dim() < 2 ? *this : rstorch::transpose(*this, 0, 1);
}
Tensor Tensor::permute(const std::vector<int>& dims) const { return rstorch::permute(*this, dims); }
Tensor Tensor::expand(const Shape& shape) const { return rstorch::expand(*this, shape); }
Tensor Tensor::slice(int dim, int64_t start, int64_t end, int64_t step) const {
  return rstorch::slice(*this, dim, start, end, step);
}
Tensor Tensor::narrow(int dim, int64_t start, int64_t length) const {
  const int64_t size = this->size(dim);
  if (start < 0) start += size;
  if (start < 0 || length < 0 || start + length > size) {
    throw ArgumentError(
        format("narrow: start {} and length {} go beyond dimension {} of size {}", start, length, dim, size));
  }
  return rstorch::slice(*this, dim, start, start + length);
}
Tensor Tensor::select(int dim, int64_t index) const { return rstorch::select(*this, dim, index); }
std::vector<Tensor> Tensor::split(int64_t size, int dim) const { return rstorch::split(*this, size, dim); }
Tensor Tensor::contiguous() const { return rstorch::contiguous(*this); }
Tensor Tensor::clone() const { return rstorch::clone(*this); }
Tensor Tensor::to(DType dtype) const { return rstorch::to(*this, dtype); }
Tensor Tensor::to(Device device) const { return rstorch::to(*this, device); }
Tensor Tensor::index_select(int dim, const Tensor& index) const { return rstorch::index_select(*this, dim, index); }
Tensor Tensor::gather(int dim, const Tensor& index) const { return rstorch::gather(*this, dim, index); }

Tensor Tensor::operator-() const { return neg(*this); }
Tensor Tensor::exp() const { return rstorch::exp(*this); }
Tensor Tensor::log() const { return rstorch::log(*this); }
Tensor Tensor::sqrt() const { return rstorch::sqrt(*this); }
Tensor Tensor::rsqrt() const { return rstorch::rsqrt(*this); }
Tensor Tensor::abs() const { return rstorch::abs(*this); }
Tensor Tensor::sin() const { return rstorch::sin(*this); }
Tensor Tensor::cos() const { return rstorch::cos(*this); }
Tensor Tensor::tanh() const { return rstorch::tanh(*this); }
Tensor Tensor::sigmoid() const { return rstorch::sigmoid(*this); }
Tensor Tensor::relu() const { return rstorch::relu(*this); }
Tensor Tensor::pow(Scalar exponent) const { return rstorch::pow(*this, exponent); }
Tensor Tensor::pow(const Tensor& exponent) const { return rstorch::pow(*this, exponent); }
Tensor Tensor::clamp(std::optional<Scalar> min, std::optional<Scalar> max) const {
  return rstorch::clamp(*this, min, max);
}
Tensor Tensor::masked_fill(const Tensor& mask, Scalar value) const { return rstorch::masked_fill(*this, mask, value); }

Tensor Tensor::sum() const { return rstorch::sum(*this); }
Tensor Tensor::sum(const std::vector<int>& dims, bool keepdim) const { return rstorch::sum(*this, dims, keepdim); }
Tensor Tensor::mean() const { return rstorch::mean(*this); }
Tensor Tensor::mean(const std::vector<int>& dims, bool keepdim) const { return rstorch::mean(*this, dims, keepdim); }
Tensor Tensor::var(const std::vector<int>& dims, bool keepdim, int64_t correction) const {
  return rstorch::var(*this, dims, keepdim, correction);
}
Tensor Tensor::prod() const { return rstorch::prod(*this); }
Tensor Tensor::prod(int dim, bool keepdim) const { return rstorch::prod(*this, {dim}, keepdim); }
Tensor Tensor::max() const { return rstorch::amax(*this); }
Tensor Tensor::min() const { return rstorch::amin(*this); }
Tensor Tensor::amax(const std::vector<int>& dims, bool keepdim) const { return rstorch::amax(*this, dims, keepdim); }
Tensor Tensor::amin(const std::vector<int>& dims, bool keepdim) const { return rstorch::amin(*this, dims, keepdim); }
Tensor Tensor::argmax(int dim, bool keepdim) const { return rstorch::argmax(*this, dim, keepdim); }
Tensor Tensor::matmul(const Tensor& other) const { return rstorch::matmul(*this, other); }
Tensor Tensor::softmax(int dim) const { return rstorch::softmax(*this, dim); }
Tensor Tensor::log_softmax(int dim) const { return rstorch::log_softmax(*this, dim); }

}  // namespace rstorch
