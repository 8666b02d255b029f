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

// The first index of the extreme of a row; nan is more extreme than all.
template <class R, class T>
int64_t find_extreme(const T* row, int64_t stride, int64_t length) {
  using C = reduction::Reduced<T>;
  C best = convert<C>(row[0]);
  if (std::is_same_v<T, C> && stride == 1 && length > reduction::kLanes) {
    best = reduction::reduce_block<R, C, reduction::Itself>(reinterpret_cast<const C*>(row), length, C(0));
  } else {
    for (int64_t i = 1; i < length; ++i) best = R::combine(best, convert<C>(row[i * stride]));
  }
  for (int64_t i = 0; i < length; ++i) {
    const C value = convert<C>(row[i * stride]);
    if (value == best || value != value) return i;
  }
  return 0;
}

template <class R, class T>
void find_extremes(const ConstView& x, int dim, const View& values, const View& indices) {
  const reduction::Plan plan(x, values);
  const int64_t length = x.shape[dim], stride = x.strides[dim];
  T* const best_values = values.as<T>();
  int64_t* const best_indices = indices.as<int64_t>();
  parallel_for(plan.kept.numel(), kGrain / std::max<int64_t>(length, 1), [&](int64_t begin, int64_t end) {
    Index index = plan.kept.at(begin);
    for (int64_t k = begin; k < end; ++k, plan.kept.advance(index, 1)) {
      const T* const row = reinterpret_cast<const T*>(plan.x + plan.kept.offset(index, plan.kept_strides));
      const int64_t best = find_extreme<R>(row, stride, length);
      best_values[k] = row[best * stride];
      best_indices[k] = best;
    }
  });
}

void max_index_cpu(CpuStream&, ConstView x, int dim, View values, View indices) {
  dispatch(AllTypes{}, x.dtype, "max", [&]<class T>(Type<T>) { find_extremes<Larger, T>(x, dim, values, indices); });
}
void min_index_cpu(CpuStream&, ConstView x, int dim, View values, View indices) {
  dispatch(AllTypes{}, x.dtype, "min", [&]<class T>(Type<T>) { find_extremes<Smaller, T>(x, dim, values, indices); });
}

}  // namespace

Kernel<ConstView, View> amax{"amax", amax_cpu};
Kernel<ConstView, View> amin{"amin", amin_cpu};
Kernel<ConstView, int, View, View> max_index{"max", max_index_cpu};
Kernel<ConstView, int, View, View> min_index{"min", min_index_cpu};

}  // namespace rstorch::kernels
