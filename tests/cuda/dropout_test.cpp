// Dropout on CUDA: the CPU's mask, in every dtype and wherever the numbers of the stream begin.
#include "kernels/dropout.h"

#include "compare.h"
#include "tensor/generator.h"
#include "tensor/runtime.h"

using namespace rstorch;
using namespace rstorch::testing;

namespace {

Tensor drop(const Tensor& x, double p, const RandomKey& key) {
  Tensor y = Tensor::empty(x.shape(), x.options());
  kernels::dropout(current_stream(x.device()), x.view(), p, key, y.mutable_view());
  return y;
}

}  // namespace

TEST_CASE("dropout on cuda and cpu") {
  manual_seed(5);
  const Tensor numbers = Tensor::randn({3003});
  for (const DType dtype : {kFloat32, kFloat64, kBFloat16, kFloat16}) {
    const Tensor x = numbers.to(dtype);
    const Tensor reference = dtype == kFloat64 ? x : x.to(kFloat32);  // the CPU's kernel takes no halves
    for (const uint64_t first : {0, 1, 4, 6, 8, 1000003}) {
      const RandomKey key = {.seed = 7, .purpose = Purpose::dropout, .layer = 3, .step = 11, .first = first};
      for (const double p : {0.0, 0.3, 0.5, 1.0}) {
        const std::string what = format("p {}, first {}, {}", p, first, name_of(dtype));
        check_close(drop(x.to("cuda"), p, key), drop(reference, p, key).to(dtype), what);
      }
      // not aligned
      check_close(drop(x.to("cuda").slice(0, 1, 2001), 0.3, key), drop(reference.slice(0, 1, 2001), 0.3, key).to(dtype),
                  format("not aligned, first {}, {}", first, name_of(dtype)));
    }
  }
}

TEST_CASE("random kernels on cuda add the place in the run that the device keeps") {
  for (const int64_t sample : {0, 1, 2, 8}) {
    const Tensor numbers = Tensor::from({int64_t(30), sample}).to("cuda");
    const auto* const place = numbers.view().as<StepPlace>();
    const RandomKey split = {
        .seed = 7, .purpose = Purpose::dropout, .step = 11, .first = 2, .place = place, .sample_size = 7};
    const RandomKey whole = {.seed = 7, .purpose = Purpose::dropout, .step = 41, .first = 2 + 7 * uint64_t(sample)};
    for (const DType dtype : {kFloat32, kFloat64}) {
      const Tensor x = Tensor::ones({1000}, {dtype}), on_cuda = x.to("cuda");
      const std::string what = format("step 11 + 30, first element 2 + 7 * {}, {}", sample, name_of(dtype));
      check_close(drop(on_cuda, 0.4, split), drop(x, 0.4, whole), what);
      fill_uniform(on_cuda, split, 0, 1);
      fill_uniform(x, whole, 0, 1);
      check_close(on_cuda, x, what);
    }
  }
}
