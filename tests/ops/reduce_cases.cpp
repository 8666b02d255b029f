#include <algorithm>
#include <cmath>

#include "cases.h"
#include "ops/ops.h"

namespace rstorch::testing {
namespace {

// Applies f to the elements of each group that dims (all, if empty) reduce.
Array reduce(const Array& x, const std::vector<int>& dims, bool keepdim,
             const std::function<double(const std::vector<double>&)>& f) {
  const int n = x.shape.dims();
  const auto reduced = [&](int d) {
    return dims.empty() || std::find(dims.begin(), dims.end(), d) != dims.end() ||
           std::find(dims.begin(), dims.end(), d - n) != dims.end();
  };
  Shape kept, result;
  for (int d = 0; d < n; ++d) {
    kept.push_back(reduced(d) ? 1 : x.shape[d]);
    if (!reduced(d) || keepdim) result.push_back(kept[d]);
  }
  std::vector<std::vector<double>> groups(size_t(kept.numel()));
  for (int64_t i = 0; i < x.numel(); ++i) {
    int64_t rest = i, group = 0, step = 1;
    for (int d = n - 1; d >= 0; --d) {
      group += (reduced(d) ? 0 : rest % x.shape[d]) * step;
      rest /= x.shape[d];
      step *= kept[d];
    }
    groups[size_t(group)].push_back(x[i]);
  }
  Array y(result);
  for (int64_t i = 0; i < y.numel(); ++i) y[i] = f(groups[size_t(i)]);
  return y;
}

double sum_of(const std::vector<double>& x) {
  double sum = 0;
  for (const double value : x) sum += value;
  return sum;
}
double mean_of(const std::vector<double>& x) { return sum_of(x) / double(x.size()); }
double var_of(const std::vector<double>& x) {
  const double mean = mean_of(x);
  double sum = 0;
  for (const double value : x) sum += (value - mean) * (value - mean);
  return sum / std::max(double(x.size()) - 1, 0.0);
}
double prod_of(const std::vector<double>& x) {
  double product = 1;
  for (const double value : x) product *= value;
  return product;
}
double max_of(const std::vector<double>& x) { return *std::max_element(x.begin(), x.end()); }
double min_of(const std::vector<double>& x) { return *std::min_element(x.begin(), x.end()); }
double argmax_of(const std::vector<double>& x) { return double(std::max_element(x.begin(), x.end()) - x.begin()); }
double argmin_of(const std::vector<double>& x) { return double(std::min_element(x.begin(), x.end()) - x.begin()); }

struct Over {
  const char* what;
  Shape shape, large;
  std::vector<int> dims;
  bool keepdim;
  std::optional<Shape> empty = {};
};
const Over kOver[] = {
    {"all", {3, 4, 5}, {300, 1001}, {}, false},
    {"last", {6, 7}, {400, 513}, {-1}, false, Shape{0, 7}},
    {"long rows", {3, 300}, {3, 100001}, {1}, true},
    {"first", {7, 6}, {513, 401}, {0}, false, Shape{7, 0}},
    {"tall", {200, 3}, {100001, 3}, {0}, true},
    {"middle", {3, 4, 5}, {20, 101, 33}, {1}, true, Shape{3, 4, 0}},
    {"outer and inner", {3, 4, 5}, {40, 11, 65}, {0, 2}, false, Shape{3, 0, 5}},
    {"of one", {3, 1, 5}, {3, 1, 5}, {1}, false},
    {"zero_dim", {}, {}, {}, false},
};

using Reduction = Tensor (*)(const Tensor&, const std::vector<int>&, bool);

void add_cases(std::vector<OpCase>& out, const std::string& op, Reduction run,
               double (*reference)(const std::vector<double>&)) {
  for (const Over& over : kOver) {
    const std::vector<int> dims = over.dims;
    const bool keepdim = over.keepdim;
    out.push_back({.op = op,
                   .what = over.what,
                   .inputs = {floats(over.shape).when_large(over.large)},
                   .run = [=](const std::vector<Tensor>& in) { return run(in[0], dims, keepdim); },
                   .reference = [=](const std::vector<Array>& in) { return reduce(in[0], dims, keepdim, reference); },
                   .dtypes = {DType::f32, DType::f64, DType::bf16},
                   .f32 = {1e-5, 1e-5},
                   .half = {2e-2, 2e-2}});
    out.back().inputs[0].empty = over.empty;
  }
}

// Over one dimension, with an index.
void add_index_cases(std::vector<OpCase>& out, const std::string& op,
                     const std::function<Tensor(const Tensor&, int, bool)>& run,
                     double (*reference)(const std::vector<double>&), bool differentiable) {
  for (const auto& [what, shape, empty, dim] :
       {std::tuple("last", Shape{4, 6}, Shape{0, 6}, -1), std::tuple("first", Shape{5, 3}, Shape{5, 0}, 0),
        std::tuple("middle", Shape{2, 5, 3}, Shape{2, 5, 0}, 1)}) {
    out.push_back({.op = op,
                   .what = what,
                   .inputs = {floats(shape).when_empty(empty)},
                   .run = [run, dim = dim](const std::vector<Tensor>& in) { return run(in[0], dim, dim == 0); },
                   .reference = [reference, dim = dim](
                                    const std::vector<Array>& in) { return reduce(in[0], {dim}, dim == 0, reference); },
                   .differentiable = differentiable});
  }
}

OpCase with_values(OpCase op_case, const std::string& what, const Shape& shape, std::vector<double> values) {
  op_case.what = what;
  op_case.inputs = {floats(shape).with(std::move(values))};
  return op_case;
}

OpCase reduce_case(const std::string& op, Reduction run, double (*reference)(const std::vector<double>&),
                   const std::vector<int>& dims) {
  return {.op = op,
          .run = [=](const std::vector<Tensor>& in) { return run(in[0], dims, false); },
          .reference = [=](const std::vector<Array>& in) { return reduce(in[0], dims, false, reference); }};
}

Tensor var_one(const Tensor& x, const std::vector<int>& dims, bool keepdim) { return var(x, dims, keepdim, 1); }

}  // namespace

std::vector<OpCase> reduce_cases() {
  std::vector<OpCase> out;
  add_cases(out, "sum", sum, sum_of);
  add_cases(out, "mean", mean, mean_of);
  add_cases(out, "amax", amax, max_of);
  add_cases(out, "amin", amin, min_of);
  add_cases(out, "prod", prod, prod_of);
  add_cases(out, "var", var_one, var_of);
  // The variance of one number is 0 / 0, in PyTorch too.
  for (OpCase& op_case : out)
    op_case.differentiable = op_case.op != "var" || (op_case.what != "of one" && op_case.what != "zero_dim");

  const double nan = std::numeric_limits<double>::quiet_NaN();
  out.push_back(
      with_values(reduce_case("prod", prod, prod_of, {1}), "zeros", {3, 4}, {1, 2, 0, 4, 0, 3, 0, 5, 2, 2, 3, -1}));
  const auto nan_of = [](const std::vector<double>&) { return std::numeric_limits<double>::quiet_NaN(); };
  for (const auto& [op, run] :
       {std::pair<const char*, Reduction>("amax", amax), std::pair<const char*, Reduction>("amin", amin)}) {
    OpCase nans = with_values(reduce_case(op, run, nan_of, {1}), "nan wins", {2, 3}, {1, nan, 2, nan, 5, -1});
    nans.differentiable = false;
    out.push_back(nans);
  }
  OpCase empty = reduce_case("sum", sum, sum_of, {0});
  empty.what = "of nothing";
  empty.inputs = {floats({0, 3})};
  out.push_back(empty);

  add_index_cases(
      out, "max", [](const Tensor& x, int dim, bool keepdim) { return max(x, dim, keepdim).values; }, max_of, true);
  add_index_cases(
      out, "min", [](const Tensor& x, int dim, bool keepdim) { return min(x, dim, keepdim).values; }, min_of, true);
  add_index_cases(
      out, "max", [](const Tensor& x, int dim, bool keepdim) { return max(x, dim, keepdim).indices; }, argmax_of,
      false);
  add_index_cases(
      out, "min", [](const Tensor& x, int dim, bool keepdim) { return min(x, dim, keepdim).indices; }, argmin_of,
      false);
  add_index_cases(out, "argmax", argmax, argmax_of, false);
  add_index_cases(out, "argmin", argmin, argmin_of, false);
  return out;
}

}  // namespace rstorch::testing
