#include "cases.h"
#include "ops/ops.h"
#include "random_reference.h"

namespace rstorch::testing {
namespace {

const RandomKey key{.seed = 7, .purpose = Purpose::dropout, .layer = 3, .step = 5, .first = 2};

Array dropout_reference(const Array& x, double p) {
  Array y(x.shape);
  const uint64_t first = x.numel() > 0 ? key.first * uint64_t(x.numel() / x.size(0)) : 0;
  for (int64_t i = 0; i < x.numel(); ++i) y[i] = x[i] * dropout_factor(key, p, first + uint64_t(i));
  return y;
}

OpCase dropout_case(double p) {
  return {.op = "dropout",
          .what = format("p {}", p),
          .inputs = {floats({5, 33}).when_empty({0, 33})},
          .run = [p](const std::vector<Tensor>& in) { return dropout(in[0], p, key); },
          .reference = [p](const std::vector<Array>& in) { return dropout_reference(in[0], p); }};
}

}  // namespace

std::vector<OpCase> dropout_cases() {
  return {dropout_case(0), dropout_case(0.25), dropout_case(0.5), dropout_case(1)};
}

}  // namespace rstorch::testing
