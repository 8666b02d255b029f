// amax, amin, and max and min with indices
#include <limits>

#include "kernels/cuda/install.h"
#include "kernels/cuda/reduce.cuh"
#include "kernels/math.h"
#include "kernels/reduce.h"

namespace rstorch::kernels {
namespace {

// What an element type is compared in.
template <class T>
using Compared = std::conditional_t<std::is_same_v<T, bool>, uint8_t, Compute<T>>;

struct Larger {
  template <class T>
  __device__ static bool before(T a, T b) {
    return a > b;
  }
};
struct Smaller {
  template <class T>
  __device__ static bool before(T a, T b) {
    return a < b;
  }
};

// The extreme element and where it is; the first of equal ones, and nan before all. Without `indices`, where is not
// told.
template <class Order, class T>
struct Extreme {
  struct State {
    Compared<T> value;
    uint32_t at;  // kNone: of no elements
  };
  static constexpr uint32_t kNone = UINT32_MAX;
  T* values;
  int64_t* indices;

  __device__ State empty() const { return {{}, kNone}; }
  __device__ void add(State& state, T x, uint32_t at) const { merge(state, {convert<Compared<T>>(x), at}); }
  __device__ void merge(State& state, const State& other) const {
    if (other.at == kNone) return;
    if (state.at == kNone || wins(other, state)) state = other;
  }
  __device__ void store(uint32_t k, const State& state) const {
    values[k] = convert<T>(state.value);
    if (indices) indices[k] = state.at;
  }

 private:
  __device__ static bool wins(const State& a, const State& b) {
    const bool a_nan = a.value != a.value, b_nan = b.value != b.value;
    if (a_nan != b_nan) return a_nan;
    if (a_nan || a.value == b.value) return a.at < b.at;
    return Order::before(a.value, b.value);
  }
};

template <class Order>
void find(CudaStream& stream, std::string_view name, const ConstView& x, const View& values, int64_t* indices) {
  dispatch(AllTypes{}, x.dtype, name, [&]<class T>(Type<T>) {
    reduce<T>(stream, name, Extreme<Order, T>{values.as<T>(), indices}, {x}, values.shape);
  });
}

void amax_cuda(CudaStream& stream, ConstView x, View y) { find<Larger>(stream, "amax", x, y, nullptr); }
void amin_cuda(CudaStream& stream, ConstView x, View y) { find<Smaller>(stream, "amin", x, y, nullptr); }
void max_index_cuda(CudaStream& stream, ConstView x, int, View values, View indices) {
  find<Larger>(stream, "max", x, values, indices.as<int64_t>());
}
void min_index_cuda(CudaStream& stream, ConstView x, int, View values, View indices) {
  find<Smaller>(stream, "min", x, values, indices.as<int64_t>());
}

}  // namespace

void install_extreme() {
  amax.cuda = amax_cuda;
  amin.cuda = amin_cuda;
  max_index.cuda = max_index_cuda;
  min_index.cuda = min_index_cuda;
}

}  // namespace rstorch::kernels
