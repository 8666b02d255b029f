#include "cases.h"
#include "ops/ops.h"

namespace rstorch::testing {
namespace {

// y[o, i, r] = x[o, index[i], r], with dimension `dim` in the middle.
Array select_rows(const Array& x, const Array& index, int dim) {
  Shape shape = x.shape;
  shape[dim] = index.numel();
  Array y(shape);
  const int64_t outer = shape.slice(0, dim).numel(), inner = shape.slice(dim + 1, shape.dims()).numel();
  for (int64_t o = 0; o < outer; ++o) {
    for (int64_t i = 0; i < index.numel(); ++i) {
      for (int64_t r = 0; r < inner; ++r) {
        y[(o * index.numel() + i) * inner + r] = x[(o * x.shape[dim] + int64_t(index[i])) * inner + r];
      }
    }
  }
  return y;
}

OpCase index_select_case(const std::string& what, const Shape& shape, int dim, const Input& index) {
  return {.op = "index_select",
          .what = what,
          .inputs = {floats(shape), index},
          .run = [dim](const std::vector<Tensor>& in) { return index_select(in[0], dim, in[1]); },
          .reference = [dim](const std::vector<Array>& in) { return select_rows(in[0], in[1], dim); },
          .dtypes = {DType::f32, DType::f64, DType::bf16, DType::f16}};
}

}  // namespace

std::vector<OpCase> indexing_cases() {
  std::vector<OpCase> out = {
      index_select_case("rows", {5, 3}, 0, integers({7}, 0, 5).when_empty({0})),
      index_select_case("columns", {3, 4}, 1, integers({3}, 0, 4)),
      index_select_case("middle", {2, 4, 3}, 1, integers({6}, 0, 4)),
  };
  out.push_back({.op = "gather",
                 .what = "columns",
                 .inputs = {floats({3, 5}), integers({3, 4}, 0, 5).when_empty({3, 0})},
                 .run = [](const std::vector<Tensor>& in) { return gather(in[0], 1, in[1]); },
                 .reference =
                     [](const std::vector<Array>& in) {
                       Array y(in[1].shape);
                       for (int64_t i = 0; i < y.numel(); ++i) y[i] = in[0](i / y.size(1), in[1][i]);
                       return y;
                     },
                 .dtypes = {DType::f32, DType::f64, DType::bf16, DType::f16}});
  out.push_back({.op = "gather",
                 .what = "rows, a smaller index",
                 .inputs = {floats({4, 5}), integers({6, 3}, 0, 4)},
                 .run = [](const std::vector<Tensor>& in) { return gather(in[0], 0, in[1]); },
                 .reference =
                     [](const std::vector<Array>& in) {
                       Array y(in[1].shape);
                       for (int64_t i = 0; i < y.numel(); ++i) y[i] = in[0](in[1][i], i % y.size(1));
                       return y;
                     }});
  out.push_back(
      {.op = "embedding",
       .what = "2-D indices",
       .inputs = {integers({2, 4}, 0, 6).when_empty({0, 4}).when_large({64, 128}), floats({6, 3}).when_large({6, 400})},
       .run = [](const std::vector<Tensor>& in) { return embedding(in[0], in[1]); },
       .reference =
           [](const std::vector<Array>& in) {
             Array list = in[0];
             list.shape = {list.numel()};
             Array y = select_rows(in[1], list, 0);
             y.shape = {in[0].size(0), in[0].size(1), in[1].size(1)};
             return y;
           },
       .dtypes = {DType::f32, DType::f64, DType::bf16, DType::f16}});
  return out;
}

}  // namespace rstorch::testing
