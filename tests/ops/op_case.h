// One record per op, from which everything else follows.
//
// For each OpCase ops_test checks: forward against an independent double-precision reference, in every dtype of the
// case; the gradient against finite differences with a random cotangent; transposed, sliced and expanded inputs and a
// transposed cotangent; empty inputs; no write outside the output or to an input; every element of the output written;
// two runs, and one and several threads, equal to the bit; shape and dtype on the meta device; CUDA against the CPU
// where there is a GPU. With --bench it prints a line of timings. A function of ops.h without a case fails the suite.
//
// To add one: an entry in the list that one of the functions of cases.h returns.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "tensor/tensor.h"

namespace rstorch::testing {

// What references compute with: row-major doubles.
struct Array {
  Shape shape;
  std::vector<double> values;

  Array() : shape({0}) {}
  explicit Array(const Shape& shape) : shape(shape), values(size_t(shape.numel())) {}
  int64_t numel() const { return shape.numel(); }
  int64_t size(int dim) const { return shape[dim < 0 ? dim + shape.dims() : dim]; }
  double& operator[](int64_t i) { return values[size_t(i)]; }
  double operator[](int64_t i) const { return values[size_t(i)]; }
  // a(i, j, k): the element at that index.
  template <class... Index>
  double& operator()(Index... index) {
    return values[offset({int64_t(index)...})];
  }
  template <class... Index>
  double operator()(Index... index) const {
    return values[offset({int64_t(index)...})];
  }

 private:
  size_t offset(std::initializer_list<int64_t> index) const {
    int64_t at = 0, dim = 0;
    for (const int64_t i : index) at = at * shape[int(dim++)] + i;
    return size_t(at);
  }
};

// How an input is made. Values of floating inputs are drawn once, in f32 precision, so that every dtype sees the same
// numbers.
struct Input {
  enum class Kind { floating, integer, boolean, absent };

  Kind kind = Kind::floating;
  Shape shape;
  double low = -2, high = 2;   // the range values are drawn from; integers from [low, high)
  std::vector<double> values;  // these instead of random ones, if given
  bool requires_grad = true;   // floating inputs
  bool any_layout = true;      // also try it transposed, sliced and expanded
  std::optional<Shape> empty;  // the shape it has in the run with empty inputs
  std::optional<Shape> bench;  // the shape it has in the benchmark and the test with many threads

  Input& in_range(double from, double to) { return low = from, high = to, *this; }
  Input& with(std::vector<double> given) { return values = std::move(given), *this; }
  Input& with_nan();  // given values, of which the first is nan
  Input& without_grad() { return requires_grad = false, *this; }
  Input& contiguous_only() { return any_layout = false, *this; }
  Input& when_empty(const Shape& other) { return empty = other, *this; }
  Input& when_large(const Shape& other) { return bench = other, *this; }
};
Input floats(const Shape& shape);                               // uniform in [-2, 2)
Input integers(const Shape& shape, int64_t low, int64_t high);  // i64
Input booleans(const Shape& shape);
Input absent();  // an undefined tensor: an optional argument left out

// |got - wanted| <= absolute + relative * |wanted|
struct Tolerance {
  double relative, absolute;
};

struct OpCase {
  std::string op;         // the function's name in ops.h
  std::string what = {};  // what is special about this case; may be empty
  std::vector<Input> inputs = {};
  std::function<Tensor(const std::vector<Tensor>&)> run = {};
  std::function<Array(const std::vector<Array>&)> reference = {};  // plain loops, not by ops of ours
  bool differentiable = true;
  bool same_bits_for_any_threads = true;                 // false: only for one number of threads
  std::vector<DType> dtypes = {DType::f32, DType::f64};  // that the floating inputs take
  Tolerance f32 = {1e-5, 1e-6};
  Tolerance f64 = {1e-11, 1e-12};
  Tolerance half = {1e-2, 1e-2};  // bf16 and f16
  double half_error = 1e-4;       // of both on CUDA: squared error over squared values. More where gradients nearly cancel
  Tolerance gradient = {1e-4, 1e-6};
  double flops = 0;  // of a forward pass on the `bench` shapes, for the benchmark line; 0: it prints GB/s
};

// "conv2d, stride 2"
std::string title(const OpCase& op_case);

// Helpers for references.
Array elementwise(const Array& x, const std::function<double(double)>& f);
Array elementwise(const Array& a, const Array& b, const std::function<double(double, double)>& f);  // broadcasts

// Images in the same shape with memory as [batch, rows, columns, channels], as behind a convolution that works so: the
// cotangent is then permuted too.
Tensor channels_last(const Tensor& x);

}  // namespace rstorch::testing
