#include "ops/op.h"

#include <algorithm>

namespace rstorch {

void Op::require_defined(std::string_view argument, const Tensor& x) const {
  if (!x.defined()) throw ArgumentError(format("{}: {} is an undefined tensor", name_, argument));
}

void Op::require_floating(std::string_view argument, const Tensor& x) const {
  require_defined(argument, x);
  if (!is_floating(x.dtype())) {
    throw DTypeError(format("{}: {} is {}, wanted a floating dtype", name_, argument, name_of(x.dtype())),
                     "convert it with to(kFloat32)");
  }
}

void Op::require_dtype(std::string_view argument, const Tensor& x, DType wanted) const {
  require_defined(argument, x);
  if (x.dtype() != wanted) {
    throw DTypeError(format("{}: {} is {}, wanted {}", name_, argument, name_of(x.dtype()), name_of(wanted)));
  }
}

void Op::require_dims(std::string_view argument, const Tensor& x, int wanted) const {
  require_defined(argument, x);
  if (x.dim() != wanted) {
    throw ShapeError(format("{}: {} has shape {}, wanted {} dimensions", name_, argument, x.shape().text(), wanted));
  }
}

void Op::require_shape(std::string_view argument, const Tensor& x, const Shape& wanted) const {
  require_defined(argument, x);
  if (x.shape() != wanted) {
    throw ShapeError(format("{}: {} has shape {}, wanted {}", name_, argument, x.shape().text(), wanted.text()));
  }
}

void Op::require_same_device(std::string_view a_name, const Tensor& a, std::string_view b_name, const Tensor& b) const {
  require_defined(a_name, a);
  require_defined(b_name, b);
  if (a.device() != b.device()) {
    throw DeviceError(format("{}: {} is on {}, {} on {}", name_, a_name, a.device().text(), b_name, b.device().text()),
                      "move one of them with to(device)");
  }
}

int Op::require_dim(std::string_view argument, int dim, const Tensor& x) const {
  require_defined("the input", x);
  const int dims = std::max(x.dim(), 1);
  if (dim < -dims || dim >= dims) {
    throw ShapeError(format("{}: {} is {}, the tensor has shape {}", name_, argument, dim, x.shape().text()),
                     format("dimensions are {} to {}", -dims, dims - 1));
  }
  return dim < 0 ? dim + dims : dim;
}

void Op::require_shape_that(bool holds, const std::string& message, const std::string& hint) const {
  if (!holds) throw ShapeError(format("{}: {}", name_, message), hint);
}

void Op::require(bool holds, const std::string& message, const std::string& hint) const {
  if (!holds) throw ArgumentError(format("{}: {}", name_, message), hint);
}

}  // namespace rstorch
