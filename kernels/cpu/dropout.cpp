#include "kernels/dropout.h"

#include "kernels/cpu/parallel.h"
#include "kernels/cpu/random_words.h"
#include "kernels/cpu/simd.h"

namespace rstorch::kernels {
namespace {

// A word at or above the threshold keeps its element: an integer compare, no conversion.
uint32_t threshold_of(double p) { return uint32_t(p * 0x1p24) << 8; }

template <class T>
void drop(const Philox& philox, uint64_t first, uint32_t threshold, T scale, const T* x, T* y, int64_t n) {
  vectorised([=] {
    for (int64_t i = 0; i < n;) {
      alignas(64) uint32_t words[kWordsPerCall];
      const uint64_t at = first + uint64_t(i);
      random_words(philox, at / kWordsPerCall * (kWordsPerCall / 4), words);
      const int64_t skipped = int64_t(at % kWordsPerCall);
      const int64_t count = std::min<int64_t>(kWordsPerCall - skipped, n - i);
      const uint32_t* const word = words + skipped;
      for (int64_t j = 0; j < count; ++j) y[i + j] = word[j] >= threshold ? x[i + j] * scale : T(0);
      i += count;
    }
  });
}

void dropout_cpu(CpuStream&, ConstView x, double p, RandomKey key, View y) {
  const Philox philox(key);
  const uint64_t first = first_of(key);
  dispatch(FullFloats{}, x.dtype, "dropout", [&]<class T>(Type<T>) {
    const T scale = p < 1 ? T(1 / (1 - p)) : T(0);
    const uint32_t threshold = threshold_of(p < 1 ? p : 0);
    parallel_for(x.numel(), kGrain / 4, [&](int64_t begin, int64_t end) {
      drop(philox, first + uint64_t(begin), threshold, scale, x.as<T>() + begin, y.as<T>() + begin, end - begin);
    });
  });
}

}  // namespace

Kernel<ConstView, double, RandomKey, View> dropout{"dropout", dropout_cpu};

}  // namespace rstorch::kernels
