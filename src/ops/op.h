// Helpers of every op function, which reads: check, allocate, launch, record (ARCHITECTURE, "One op in one place").
#pragma once

#include <string_view>

#include "autograd/node.h"
#include "base/error.h"
#include "base/last_op.h"
#include "tensor/runtime.h"
#include "tensor/tensor.h"

namespace rstorch {

class Op {
 public:
  explicit Op(std::string_view name) : name_(name) { last_op = name; }

  std::string_view name() const { return name_; }
  // The stream that work on x goes to.
  Stream& stream(const Tensor& x) const { return current_stream(x.device()); }

  // --- Checks: throw with operation, argument, got, wanted -------------------------------------------------------
  void require_defined(std::string_view argument, const Tensor& x) const;
  void require_floating(std::string_view argument, const Tensor& x) const;
  void require_dtype(std::string_view argument, const Tensor& x, DType wanted) const;
  void require_dims(std::string_view argument, const Tensor& x, int wanted) const;
  void require_shape(std::string_view argument, const Tensor& x, const Shape& wanted) const;
  // Both defined, one device.
  void require_same_device(std::string_view a_name, const Tensor& a, std::string_view b_name, const Tensor& b) const;
  // Maps -1 to the last dimension and so on; throws ShapeError out of range. A 0-d tensor has the dimensions 0 and -1.
  int require_dim(std::string_view argument, int dim, const Tensor& x) const;
  // Throws ShapeError / ArgumentError with this text if the condition is false.
  void require_shape_that(bool holds, const std::string& message, const std::string& hint = {}) const;
  void require(bool holds, const std::string& message, const std::string& hint = {}) const;

  // Ties y to its inputs; see autograd/node.h.
  template <class Inputs, class Saves, class F>
  Tensor record(Tensor y, const Inputs& inputs, const Saves& saves, F&& backward) const {
    return rstorch::record(name_, std::move(y), inputs, saves, std::forward<F>(backward));
  }

 private:
  std::string_view name_;
};

}  // namespace rstorch
