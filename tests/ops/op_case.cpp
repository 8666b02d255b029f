#include "op_case.h"

#include "ops/ops.h"

namespace rstorch::testing {

Input floats(const Shape& shape) {
  Input input;
  input.shape = shape;
  return input;
}

Input integers(const Shape& shape, int64_t low, int64_t high) {
  Input input;
  input.kind = Input::Kind::integer;
  input.shape = shape;
  input.low = double(low);
  input.high = double(high);
  return input;
}

Input booleans(const Shape& shape) {
  Input input;
  input.kind = Input::Kind::boolean;
  input.shape = shape;
  return input;
}

Input absent() {
  Input input;
  input.kind = Input::Kind::absent;
  return input;
}

Input& Input::with_nan() {
  values.assign(size_t(shape.numel()), 0);
  for (size_t i = 0; i < values.size(); ++i) values[i] = double(i * 7 % 11) / 4 - 1.25;
  values.front() = std::numeric_limits<double>::quiet_NaN();
  return *this;
}

std::string title(const OpCase& op_case) {
  return op_case.what.empty() ? op_case.op : op_case.op + ", " + op_case.what;
}

Array elementwise(const Array& x, const std::function<double(double)>& f) {
  Array y(x.shape);
  for (int64_t i = 0; i < x.numel(); ++i) y[i] = f(x[i]);
  return y;
}

Array elementwise(const Array& a, const Array& b, const std::function<double(double, double)>& f) {
  Array y(broadcast_shapes(a.shape, b.shape, "reference"));
  // The element of x that element i of y is made from.
  const auto element = [&](const Array& x, int64_t i) {
    int64_t at = 0, step = 1;
    for (int d = 1; d <= x.shape.dims(); ++d) {
      const int64_t index = i % y.size(-d);
      i /= y.size(-d);
      if (x.size(-d) != 1) at += index * step;
      step *= x.size(-d);
    }
    return x[at];
  };
  for (int64_t i = 0; i < y.numel(); ++i) y[i] = f(element(a, i), element(b, i));
  return y;
}

Tensor channels_last(const Tensor& x) { return permute(contiguous(permute(x, {0, 2, 3, 1})), {0, 3, 1, 2}); }

}  // namespace rstorch::testing
