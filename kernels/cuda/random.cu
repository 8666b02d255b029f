// The same numbers as on the CPU: kernels/philox.h says which word of the stream is whose.
#include "kernels/cuda/install.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/element.h"
#include "kernels/math.h"
#include "kernels/philox.h"
#include "kernels/random.h"

namespace rstorch::kernels {
namespace {

// A block of the cipher a thread. make(block, values) turns it into N elements of type V.
template <int N, class V, class T, class Make>
__global__ void generate(RandomKey key, Make make, int64_t count, T* y) {
  const uint64_t first = first_of(key), block = first / N + uint64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  V values[N];
  make(Philox(key).block(block), values);
  for (int j = 0; j < N; ++j) {
    const int64_t i = int64_t(block * N + uint64_t(j) - first);
    if (i >= 0 && i < count) y[i] = convert<T>(values[j]);
  }
}

template <int N, class V, class T, class Make>
void generate_all(CudaStream& stream, std::string_view name, RandomKey key, Make make, const View& y) {
  constexpr int64_t kMost = int64_t(1) << 30;  // elements of one launch
  const uint64_t first = key.first;
  for (int64_t done = 0; done < y.numel(); done += kMost) {
    const int64_t count = std::min(kMost, y.numel() - done);
    key.first = first + uint64_t(done);
    const uint64_t before = key.place ? N - 1 : key.first % N;
    const auto blocks = uint32_t((before + uint64_t(count) + N - 1) / N);
    launch(stream, name, blocks, generate<N, V, T, Make>, key, make, count, y.as<T>() + done);
  }
}

template <class T>
constexpr int kDigits = std::is_same_v<T, bf16>  ? 8
                        : std::is_same_v<T, f16> ? 11
                                                 : 24;

template <class T>
struct Uniform {
  float low, high, range;
  __device__ void operator()(const PhiloxBlock& block, float* values) const {
    for (int j = 0; j < 4; ++j) {
      const float value = convert<float>(convert<T>(low + range * unit_float(block.words[j], kDigits<T>)));
      values[j] = value < high ? value : low;  // rounding may have reached `high`
    }
  }
};
struct UniformDouble {
  double low, high;
  __device__ void operator()(const PhiloxBlock& block, double* values) const {
    for (int j = 0; j < 2; ++j) {
      const double value = low + (high - low) * unit_double(block.words[2 * j], block.words[2 * j + 1]);
      values[j] = value < high ? value : low;
    }
  }
};

void uniform_cuda(CudaStream& stream, RandomKey key, double low, double high, View y) {
  dispatch(Floats{}, y.dtype, "random_uniform", [&]<class T>(Type<T>) {
    if constexpr (std::is_same_v<T, double>) {
      generate_all<2, double, T>(stream, "random_uniform", key, UniformDouble{low, high}, y);
    } else {
      const Uniform<T> make{float(low), float(high), float(high - low)};
      generate_all<4, float, T>(stream, "random_uniform", key, make, y);
    }
  });
}

struct Normal {
  float mean, std;
  __device__ void operator()(const PhiloxBlock& block, float* values) const {
    for (int j = 0; j < 4; j += 2) {
      const auto [first, second] = math::normal_pair(block.words[j], block.words[j + 1]);
      values[j] = mean + std * first;
      values[j + 1] = mean + std * second;
    }
  }
};
// Box & Muller 1958, as on the CPU.
struct NormalDouble {
  double mean, std;
  __device__ void operator()(const PhiloxBlock& block, double* values) const {
    const double u = 1 - unit_double(block.words[0], block.words[1]);
    const double angle = 2 * M_PI * unit_double(block.words[2], block.words[3]);
    const double radius = std * math::sqrt(-2 * math::log(u));
    values[0] = mean + radius * math::cos(angle);
    values[1] = mean + radius * math::sin(angle);
  }
};

void normal_cuda(CudaStream& stream, RandomKey key, double mean, double std, View y) {
  dispatch(Floats{}, y.dtype, "random_normal", [&]<class T>(Type<T>) {
    if constexpr (std::is_same_v<T, double>)
      generate_all<2, double, T>(stream, "random_normal", key, NormalDouble{mean, std}, y);
    else
      generate_all<4, float, T>(stream, "random_normal", key, Normal{float(mean), float(std)}, y);
  });
}

// Lemire's multiplication: the high part of word * range.
struct Integer {
  int64_t low;
  uint64_t range;
  __device__ void operator()(const PhiloxBlock& block, int64_t* values) const {
    for (int j = 0; j < 2; ++j) {
      const uint64_t bits = uint64_t(block.words[2 * j + 1]) << 32 | block.words[2 * j];
      values[j] = int64_t(uint64_t(low) + __umul64hi(bits, range));
    }
  }
};

void integer_cuda(CudaStream& stream, RandomKey key, int64_t low, int64_t high, View y) {
  const Integer make{low, uint64_t(high) - uint64_t(low)};
  dispatch(AllTypes{}, y.dtype, "random_integer",
           [&]<class T>(Type<T>) { generate_all<2, int64_t, T>(stream, "random_integer", key, make, y); });
}

}  // namespace

void install_random() {
  random_uniform.cuda = uniform_cuda;
  random_normal.cuda = normal_cuda;
  random_integer.cuda = integer_cuda;
}

}  // namespace rstorch::kernels
