#include "kernels/random.h"

#include <cmath>

#include "kernels/cpu/convert.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/random_words.h"
#include "kernels/cpu/simd.h"
#include "kernels/math.h"

namespace rstorch::kernels {
namespace {

// Elements made at a time; a multiple of 4, so that they begin at a block of the cipher.
template <class T>
inline constexpr int kBatch = sizeof(T) == 8 ? kWordsPerCall / 2 : kWordsPerCall;

// y[i] = element key.first + i, where make(words, out) turns kWordsPerCall words into kBatch elements.
template <class T, class Make>
void generate(const RandomKey& key, const View& y, Make make) {
  const int64_t n = y.numel();
  const Philox philox(key);
  constexpr int batch = kBatch<T>;
  const uint64_t first = first_of(key), skipped = first % batch;  // so many of the first batch lie before element 0
  const int64_t batches = int64_t((skipped + uint64_t(n) + batch - 1) / batch);
  const uint64_t first_batch = first / batch;
  T* const out = y.as<T>();
  parallel_for(batches, kGrain / batch, [=](int64_t begin, int64_t end) {
    vectorised([=] {
      for (int64_t b = begin; b < end; ++b) {
        alignas(64) uint32_t words[kWordsPerCall];
        alignas(64) T values[batch];
        random_words(philox, (first_batch + uint64_t(b)) * (kWordsPerCall / 4), words);
        make(words, values);
        const int64_t at = b * batch - int64_t(skipped);
        const int64_t from = std::max<int64_t>(at, 0), to = std::min<int64_t>(at + batch, n);
        for (int64_t i = from; i < to; ++i) out[i] = values[i - at];
      }
    });
  });
}

template <class T>
constexpr int digits_of() {
  return std::is_same_v<T, bf16> ? 8 : std::is_same_v<T, f16> ? 11 : 24;
}

void uniform_cpu(CpuStream&, RandomKey key, double low, double high, View y) {
  dispatch(Floats{}, y.dtype, "random_uniform", [&]<class T>(Type<T>) {
    if constexpr (std::is_same_v<T, double>) {
      generate<T>(key, y, [low, high](const uint32_t* words, double* out) {
        for (int i = 0; i < kBatch<double>; ++i) {
          const double value = low + (high - low) * unit_double(words[2 * i], words[2 * i + 1]);
          out[i] = value < high ? value : low;  // rounding may have reached `high`
        }
      });
    } else {
      const float first = float(low), last = float(high), range = float(high - low);
      generate<T>(key, y, [first, last, range](const uint32_t* words, T* out) {
        for (int i = 0; i < kBatch<T>; ++i) {
          const T value = T(first + range * unit_float(words[i], digits_of<T>()));
          out[i] = float(value) < last ? value : T(first);  // rounding may have reached `high`
        }
      });
    }
  });
}

// Box & Muller 1958: two words make two independent normal numbers.
void normal_cpu(CpuStream&, RandomKey key, double mean, double std, View y) {
  dispatch(Floats{}, y.dtype, "random_normal", [&]<class T>(Type<T>) {
    if constexpr (std::is_same_v<T, double>) {
      generate<T>(key, y, [mean, std](const uint32_t* words, double* out) {
        for (int i = 0; i < kBatch<double>; i += 2) {
          const double u = 1 - unit_double(words[2 * i], words[2 * i + 1]);
          const double angle = 2 * M_PI * unit_double(words[2 * i + 2], words[2 * i + 3]);
          const double radius = std * std::sqrt(-2 * std::log(u));
          out[i] = mean + radius * std::cos(angle);
          out[i + 1] = mean + radius * std::sin(angle);
        }
      });
    } else {
      const float center = float(mean), scale = float(std);
      generate<T>(key, y, [center, scale](const uint32_t* words, T* out) {
        for (int i = 0; i < kBatch<T> / 2; ++i) {
          const auto [first, second] = math::normal_pair(words[2 * i], words[2 * i + 1]);
          out[2 * i] = T(center + scale * first);
          out[2 * i + 1] = T(center + scale * second);
        }
      });
    }
  });
}

// Lemire's multiplication: the high part of word * range. 64 bits a number, so that any range is even.
void integer_cpu(CpuStream&, RandomKey key, int64_t low, int64_t high, View y) {
  const uint64_t range = uint64_t(high) - uint64_t(low);
  dispatch(AllTypes{}, y.dtype, "random_integer", [&]<class T>(Type<T>) {
    const Philox philox(key);
    const uint64_t first = first_of(key);
    T* const out = y.as<T>();
    parallel_for(y.numel(), kGrain / 4, [=](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const uint64_t element = first + uint64_t(i);
        const PhiloxBlock block = philox.block(element / 2);
        const uint32_t* const words = block.words + element % 2 * 2;
        const uint64_t bits = uint64_t(words[1]) << 32 | words[0];
        const uint64_t offset = uint64_t((static_cast<unsigned __int128>(bits) * range) >> 64);
        out[i] = convert<T>(int64_t(uint64_t(low) + offset));
      }
    });
  });
}

}  // namespace

Kernel<RandomKey, double, double, View> random_uniform{"random_uniform", uniform_cpu};
Kernel<RandomKey, double, double, View> random_normal{"random_normal", normal_cpu};
Kernel<RandomKey, int64_t, int64_t, View> random_integer{"random_integer", integer_cpu};

}  // namespace rstorch::kernels
