#include <map>
#include <numeric>

#include "cases.h"
#include "ops/ops.h"

namespace rstorch::testing {
namespace {

using Run = std::function<Tensor(const Tensor&)>;
// The row-major position in x of each element of y.
using Source = std::function<int64_t(const std::vector<int64_t>& index)>;

// An op that only moves elements: y[index] = x[source(index)].
OpCase moving_case(const std::string& op, const std::string& what, const Shape& from, const Shape& to, Run run,
                   Source source) {
  return {.op = op,
          .what = what,
          .inputs = {floats(from)},
          .run = [run](const std::vector<Tensor>& in) { return run(in[0]); },
          .reference =
              [to, source](const std::vector<Array>& in) {
                Array y(to);
                std::vector<int64_t> index(size_t(to.dims()));
                for (int64_t i = 0; i < y.numel(); ++i) {
                  int64_t rest = i;
                  for (int d = to.dims() - 1; d >= 0; --d) {
                    index[size_t(d)] = rest % to[d];
                    rest /= to[d];
                  }
                  y[i] = in[0][source(index)];
                }
                return y;
              },
          .dtypes = {DType::f32, DType::f64, DType::bf16, DType::f16}};
}

// The elements in the same order in another shape.
OpCase reshaping_case(const std::string& op, const std::string& what, const Shape& from, const Shape& to, Run run) {
  OpCase op_case = moving_case(op, what, from, to, run, {});
  op_case.reference = [to](const std::vector<Array>& in) {
    Array y = in[0];
    y.shape = to;
    return y;
  };
  return op_case;
}

// The same with an empty input too, and what comes of that.
OpCase with_empty(OpCase op_case, const Shape& from, const Shape& to) {
  op_case.inputs[0].when_empty(from);
  op_case.reference = [to, usual = op_case.reference](const std::vector<Array>& in) {
    return in[0].numel() == 0 ? Array(to) : usual(in);
  };
  return op_case;
}

Array joined(const std::vector<Array>& in, int dim) {
  Shape shape = in[0].shape;
  shape[dim] = 0;
  for (const Array& x : in) shape[dim] += x.shape[dim];
  Array y(shape);
  const int64_t outer = shape.slice(0, dim).numel(), row = shape.slice(dim, shape.dims()).numel();
  int64_t start = 0;
  for (const Array& x : in) {
    const int64_t part = x.shape.slice(dim, shape.dims()).numel();
    for (int64_t o = 0; o < outer; ++o) {
      for (int64_t i = 0; i < part; ++i) y[o * row + start + i] = x[o * part + i];
    }
    start += part;
  }
  return y;
}

}  // namespace

std::vector<OpCase> shape_cases() {
  std::vector<OpCase> out = {
      reshaping_case("reshape", "to 2-D", {2, 3, 4}, {6, 4},
                     [](const Tensor& x) {
                       return reshape(x, {6, -1});
                     }),
      reshaping_case("reshape", "across", {4, 6}, {3, 8},
                     [](const Tensor& x) {
                       return reshape(x, {x.numel() / 8, 8});
                     }),
      reshaping_case("view", "split", {4, 6}, {2, 2, 3, 2},
                     [](const Tensor& x) {
                       return view(x.contiguous(), {x.size(0) / 2, 2, 3, 2});
                     }),
      reshaping_case("flatten", "all", {2, 3, 4}, {24}, [](const Tensor& x) { return flatten(x); }),
      reshaping_case("flatten", "from 1", {2, 3, 4}, {2, 12}, [](const Tensor& x) { return flatten(x, 1); }),
      reshaping_case("flatten", "zero_dim", {}, {1}, [](const Tensor& x) { return flatten(x); }),
      reshaping_case("squeeze", "all", {1, 3, 1, 4}, {3, 4}, [](const Tensor& x) { return squeeze(x); }),
      reshaping_case("squeeze", "dim", {1, 3, 1, 4}, {1, 3, 4}, [](const Tensor& x) { return squeeze(x, -2); }),
      reshaping_case("squeeze", "not of size 1", {2, 3}, {2, 3}, [](const Tensor& x) { return squeeze(x, 0); }),
      reshaping_case("unsqueeze", "first", {3, 4}, {1, 3, 4}, [](const Tensor& x) { return unsqueeze(x, 0); }),
      reshaping_case("unsqueeze", "last", {3, 4}, {3, 4, 1}, [](const Tensor& x) { return unsqueeze(x, -1); }),
      reshaping_case("contiguous", "", {3, 4}, {3, 4}, [](const Tensor& x) { return contiguous(x); }),
      reshaping_case("clone", "", {3, 4}, {3, 4}, [](const Tensor& x) { return clone(x); }),
      moving_case(
          "transpose", "2-D", {3, 5}, {5, 3}, [](const Tensor& x) { return transpose(x, 0, 1); },
          [](const auto& i) { return i[1] * 5 + i[0]; }),
      moving_case(
          "transpose", "outer", {2, 3, 4}, {4, 3, 2}, [](const Tensor& x) { return transpose(x, 0, -1); },
          [](const auto& i) { return i[2] * 12 + i[1] * 4 + i[0]; }),
      moving_case(
          "permute", "", {2, 3, 4}, {4, 2, 3},
          [](const Tensor& x) {
            return permute(x, {2, 0, 1});
          },
          [](const auto& i) { return i[1] * 12 + i[2] * 4 + i[0]; }),
      moving_case(
          "expand", "size 1", {3, 1}, {3, 4},
          [](const Tensor& x) {
            return expand(x, {-1, 4});
          },
          [](const auto& i) { return i[0]; }),
      moving_case(
          "expand", "new in front", {3}, {2, 3},
          [](const Tensor& x) {
            return expand(x, {2, 3});
          },
          [](const auto& i) { return i[1]; }),
      moving_case(
          "slice", "middle", {5, 3}, {2, 3}, [](const Tensor& x) { return slice(x, 0, 1, 3); },
          [](const auto& i) { return (i[0] + 1) * 3 + i[1]; }),
      moving_case(
          "slice", "step, from the end", {3, 8}, {3, 3}, [](const Tensor& x) { return slice(x, -1, -6, 100, 2); },
          [](const auto& i) { return i[0] * 8 + 2 + 2 * i[1]; }),
      moving_case("slice", "nothing", {3, 4}, {3, 0}, [](const Tensor& x) { return slice(x, 1, 3, 1); }, {}),
      moving_case(
          "select", "row", {4, 3}, {3}, [](const Tensor& x) { return select(x, 0, -1); },
          [](const auto& i) { return 9 + i[0]; }),
      moving_case(
          "select", "column", {4, 3}, {4}, [](const Tensor& x) { return select(x, 1, 1); },
          [](const auto& i) { return i[0] * 3 + 1; }),
      moving_case(
          "split", "second part", {5, 3}, {2, 3}, [](const Tensor& x) { return split(x, 2, 0)[1]; },
          [](const auto& i) { return (i[0] + 2) * 3 + i[1]; }),
      moving_case(
          "split", "ragged end", {3, 5}, {3, 1}, [](const Tensor& x) { return split(x, 2, 1)[2]; },
          [](const auto& i) { return i[0] * 5 + 4; }),
      reshaping_case("to", "dtype and back", {3, 4}, {3, 4},
                     [](const Tensor& x) { return to(to(x, kFloat64), x.dtype()); }),
  };
  const std::map<std::string, std::pair<Shape, Shape>> empty = {
      {"reshape, across", {{0, 6}, {0, 8}}},     {"view, split", {{0, 6}, {0, 2, 3, 2}}},
      {"flatten, from 1", {{0, 3, 4}, {0, 12}}}, {"squeeze, all", {{1, 0, 1, 4}, {0, 4}}},
      {"unsqueeze, first", {{0, 4}, {1, 0, 4}}}, {"transpose, 2-D", {{0, 5}, {5, 0}}},
      {"permute", {{2, 0, 4}, {4, 2, 0}}},       {"expand, size 1", {{0, 1}, {0, 4}}},
      {"slice, middle", {{5, 0}, {2, 0}}},       {"select, row", {{4, 0}, {0}}},
      {"split, second part", {{5, 0}, {2, 0}}},  {"to, dtype and back", {{0, 4}, {0, 4}}},
  };
  for (OpCase& op_case : out) {
    const auto found = empty.find(title(op_case));
    if (found != empty.end()) op_case = with_empty(op_case, found->second.first, found->second.second);
    if (op_case.op == "clone") op_case.inputs[0].when_large({700, 501});
    if (op_case.op != "contiguous" && op_case.op != "clone") continue;
    op_case.inputs[0].when_empty({0, 4});
    op_case.reference = [](const std::vector<Array>& in) { return in[0]; };
  }
  for (const int dim : {0, 1, -1}) {
    const int at = dim < 0 ? 1 : dim;
    out.push_back(
        {.op = "cat",
         .what = format("dim {}", dim),
         .inputs = {floats(at == 0 ? Shape{2, 3} : Shape{3, 2}), floats({3, 3}),
                    floats(at == 0 ? Shape{1, 3} : Shape{3, 4}).when_empty(at == 0 ? Shape{0, 3} : Shape{3, 0})},
         .run = [dim](const std::vector<Tensor>& in) { return cat(in, dim); },
         .reference = [at](const std::vector<Array>& in) { return joined(in, at); },
         .dtypes = {DType::f32, DType::f64, DType::bf16, DType::f16}});
    out.push_back({.op = "stack",
                   .what = format("dim {}", dim),
                   .inputs = {floats({3}).when_empty({0}), floats({3}).when_empty({0})},
                   .run = [dim](const std::vector<Tensor>& in) { return stack(in, dim); },
                   .reference =
                       [at](const std::vector<Array>& in) {
                         std::vector<Array> rows = in;
                         for (Array& row : rows) row.shape = at == 0 ? Shape{1, row.numel()} : Shape{row.numel(), 1};
                         return joined(rows, at);
                       },
                   .dtypes = {DType::f32, DType::f64, DType::bf16, DType::f16}});
  }
  return out;
}

}  // namespace rstorch::testing
