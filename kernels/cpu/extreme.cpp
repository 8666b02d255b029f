// amax, amin, and max and min with indices
#include "kernels/cpu/reduce.h"

namespace rstorch::kernels {
namespace {

struct Larger {
  template <class T>
  static constexpr T identity = std::numeric_limits<T>::has_infinity ? -std::numeric_limits<T>::infinity()
                                                                     : std::numeric_limits<T>::lowest();
  template <class T>
  RST_HD static T combine(T a, T b) {
    return math::maximum(a, b);
  }
};
struct Smaller {
  template <class T>
  static constexpr T identity = std::numeric_limits<T>::has_infinity ? std::numeric_limits<T>::infinity()
                                                                     : std::numeric_limits<T>::max();
  template <class T>
  RST_HD static T combine(T a, T b) {
    return math::minimum(a, b);
  }
};

void amax_cpu(CpuStream&, ConstView x, View y) { reduction::reduce_cpu<Larger>(AllTypes{}, "amax", x, y); }
void amin_cpu(CpuStream&, ConstView x, View y) { reduction::reduce_cpu<Smaller>(AllTypes{}, "amin", x, y); }

template <class T, class R>
void find_extremes(const ConstView& x, int dim, const View& values, const View& indices) {
  const reduction::Plan plan(x, values);
  const int64_t length = x.shape[dim], stride = x.strides[dim];
  T* const best_values = values.as<T>();
  int64_t* const best_indices = indices.as<int64_t>();
  parallel_for(plan.kept.numel(), kGrain / std::max<int64_t>(length, 1), [&](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k) {
      const T* const row = reinterpret_cast<const T*>(plan.x + plan.kept.offset(plan.kept.at(k), plan.kept_strides));
      int64_t best = 0;
      auto best_value = convert<Compute<T>>(row[0]);
      for (int64_t i = 1; i < length && best_value == best_value; ++i) {
        const auto value = convert<Compute<T>>(row[i * stride]);
        if (value == best_value || R::combine(best_value, value) == best_value) continue;
        best = i;
        best_value = value;
      }
      best_values[k] = row[best * stride];
      best_indices[k] = best;
    }
  });
}

void max_index_cpu(CpuStream&, ConstView x, int dim, View values, View indices) {
  dispatch(AllTypes{}, x.dtype, "max", [&]<class T>(Type<T>) { find_extremes<T, Larger>(x, dim, values, indices); });
}
void min_index_cpu(CpuStream&, ConstView x, int dim, View values, View indices) {
  dispatch(AllTypes{}, x.dtype, "min", [&]<class T>(Type<T>) { find_extremes<T, Smaller>(x, dim, values, indices); });
}

}  // namespace

Kernel<ConstView, View> amax{"amax", amax_cpu};
Kernel<ConstView, View> amin{"amin", amin_cpu};
Kernel<ConstView, int, View, View> max_index{"max", max_index_cpu};
Kernel<ConstView, int, View, View> min_index{"min", min_index_cpu};

}  // namespace rstorch::kernels
