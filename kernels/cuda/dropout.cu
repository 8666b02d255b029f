// A thread has whole cipher blocks: four elements, or eight where that makes 16 bytes.
#include <algorithm>

#include "kernels/cuda/each.cuh"
#include "kernels/cuda/install.h"
#include "kernels/cuda/pack.cuh"
#include "kernels/dropout.h"
#include "kernels/philox.h"

namespace rstorch::kernels {
namespace {

template <int V, class T>
struct Drop {
  RandomKey key;
  uint32_t threshold;  // a word at or above it keeps its element
  Compute<T> scale;
  const T* x;
  T* y;
  int64_t count;
  bool packed;  // x and y are aligned wherever a thread begins, if its first element is a multiple of V

  // Thread 0 has the words before element 0 too, if that is inside its blocks.
  __device__ void operator()(int64_t thread, uint32_t) const {
    constexpr int kBlocks = V / 4;
    const uint64_t origin = first_of(key), group = origin / V + uint64_t(thread);
    const Philox philox(key);
    PhiloxBlock words[kBlocks];
    for (int b = 0; b < kBlocks; ++b) words[b] = philox.block(group * kBlocks + uint64_t(b));
    const auto apply = [&](T value, int j) {
      return words[j / 4].words[j % 4] >= threshold ? convert<T>(convert<Compute<T>>(value) * scale) : T(0);
    };
    const auto first = int64_t(group * V - origin);
    if (packed && origin % V == 0 && first + V <= count) {
      auto pack = read_pack<V>(x + first);
      for (int j = 0; j < V; ++j) pack.values[j] = apply(pack.values[j], j);
      return write_pack(y + first, pack);
    }
    for (int j = 0; j < V; ++j) {
      const int64_t i = first + j;
      if (i >= 0 && i < count) y[i] = apply(x[i], j);
    }
  }
};

void dropout_cuda(CudaStream& stream, ConstView x, double p, RandomKey key, View y) {
  if (x.numel() == 0) return;
  const uint32_t threshold = p < 1 ? uint32_t(p * 0x1p24) << 8 : 0;
  dispatch(Floats{}, x.dtype, "dropout", [&]<class T>(Type<T>) {
    constexpr int V = std::max(4, kPack<T>);
    const auto scale = Compute<T>(p < 1 ? 1 / (1 - p) : 0);
    const bool packed = aligned(x.data, V * sizeof(T)) && aligned(y.data, V * sizeof(T));
    const int64_t before = key.place ? V - 1 : int64_t(key.first % V);  // elements of thread 0 before element 0
    const int64_t threads = (before + x.numel() + V - 1) / V;
    for_each(stream, "dropout", threads, 1, Drop<V, T>{key, threshold, scale, x.as<T>(), y.as<T>(), x.numel(), packed});
  });
}

}  // namespace

void install_dropout() { dropout.cuda = dropout_cuda; }

}  // namespace rstorch::kernels
