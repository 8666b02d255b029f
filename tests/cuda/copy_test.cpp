// Copies on CUDA between layouts, element by element as on the CPU.
#include "kernels/copy.h"

#include <doctest/doctest.h>

#include "compare.h"
#include "ops/layout.h"
#include "tensor/generator.h"
#include "tensor/runtime.h"

using namespace rstorch;
using namespace rstorch::testing;

namespace {

constexpr DType kTypes[] = {kFloat32, kFloat64, kBFloat16, kFloat16, kInt64, kInt32, kUInt8, kBool};

// Copies x, as `view` shows it, to a contiguous tensor; and a contiguous tensor to what `view` shows of another.
template <class F>
void compare_copies(const Shape& shape, const std::string& what, const F& view) {
  for (const DType dtype : kTypes) {
    const Tensor x = numbers(dtype, shape), from = numbers(dtype, view(x).shape());
    const auto read = [&](Device device) {
      Tensor y = Tensor::empty(from.shape(), {dtype, device});
      kernels::copy(current_stream(device), view(x.to(device)).view(), y.mutable_view());
      return y;
    };
    const auto write = [&](Device device) {
      const Tensor y = x.to(device).clone();
      kernels::copy(current_stream(device), from.to(device).view(), view(y).mutable_view());
      return y;
    };
    check_close(read("cuda"), read(kCPU), format("{} {}, read", name_of(dtype), what));
    check_close(write("cuda"), write(kCPU), format("{} {}, written", name_of(dtype), what));
  }
}

}  // namespace

TEST_CASE("copies of transposed tensors on cuda and cpu") {
  manual_seed(10);
  const auto turned = [](const Tensor& x) { return x.transpose(-1, -2); };
  compare_copies({50, 70}, "transposed", turned);
  compare_copies({64, 32}, "transposed, whole tiles", turned);
  compare_copies({16, 15}, "transposed, too short for tiles", turned);
  compare_copies({3, 40, 37}, "transposed, of many", turned);
  compare_copies({0, 40, 37}, "transposed, of none", turned);
  compare_copies({40, 3, 37}, "ends change places", [](const Tensor& x) { return x.transpose(0, 2); });
  compare_copies({90, 70}, "transposed part",
                 [](const Tensor& x) { return x.slice(0, 3, 80, 2).slice(1, 5, 45).transpose(0, 1); });
  compare_copies({2, 3, 20, 4, 17}, "permuted", [](const Tensor& x) { return x.permute({4, 0, 3, 1, 2}); });
}

TEST_CASE("copies between contiguous and channels-last on cuda and cpu") {
  manual_seed(11);
  for (const DType dtype : kTypes) {
    for (const int64_t channels : {3, 16, 33, 64}) {
      const Tensor x = numbers(dtype, {2, channels, 9, 13});
      const std::string what = format("{} {}", name_of(dtype), channels);
      const Tensor last = in_layout(x.to("cuda"), Layout::channels_last);
      CHECK(layout_of(last) == Layout::channels_last);
      check_close(last, x, what + " to channels-last");
      check_close(in_layout(last, Layout::contiguous), x, what + " and back");
    }
  }
}

TEST_CASE("copies of expanded tensors on cuda and cpu") {
  const Tensor x = Tensor::randn({40});
  check_close(x.to("cuda").unsqueeze(1).expand({40, 50}).contiguous(), x.unsqueeze(1).expand({40, 50}).contiguous(),
              "one for a row");
  const Tensor y = Tensor::randn({40, 30});
  check_close(y.to("cuda").transpose(0, 1).unsqueeze(0).expand({3, 30, 40}).contiguous(),
              y.transpose(0, 1).unsqueeze(0).expand({3, 30, 40}).contiguous(), "transposed for many");
}
