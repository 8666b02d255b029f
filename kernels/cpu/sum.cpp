// sum, mean, var, prod
#include "kernels/cpu/reduce.h"

namespace rstorch::kernels {
namespace {

using reduction::Reduced;

struct Plus {
  template <class T>
  static constexpr T identity = T(0);
  template <class T>
  RST_HD static T combine(T a, T b) {
    return T(a + b);
  }
};
struct Times {
  template <class T>
  static constexpr T identity = T(1);
  template <class T>
  RST_HD static T combine(T a, T b) {
    return T(a * b);
  }
};
struct SquaredDistance {
  template <class T>
  RST_HD T operator()(T x, T center) const {
    return (x - center) * (x - center);
  }
};

using Summable = TypeList<float, double, bf16, f16, int64_t>;

void sum_cpu(CpuStream&, ConstView x, View y) { reduction::reduce_cpu<Plus>(Summable{}, "sum", x, y); }
void prod_cpu(CpuStream&, ConstView x, View y) { reduction::reduce_cpu<Times>(Summable{}, "prod", x, y); }

void mean_cpu(CpuStream&, ConstView x, View y) {
  dispatch(Floats{}, y.dtype, "mean", [&]<class Y>(Type<Y>) {
    using T = Reduced<Y>;
    const reduction::Plan plan(x, y);
    Y* const out = y.as<Y>();
    const double count = double(plan.reduced.numel());
    reduction::reduce<Plus, T>(plan, nullptr, [=](int64_t k, double total) { out[k] = convert<Y>(T(total / count)); });
  });
}

void var_cpu(CpuStream&, ConstView x, int64_t correction, View y) {
  dispatch(Floats{}, y.dtype, "var", [&]<class Y>(Type<Y>) {
    using T = Reduced<Y>;
    const reduction::Plan plan(x, y);
    Y* const out = y.as<Y>();
    const int64_t count = plan.reduced.numel();
    const double divisor = double(std::max<int64_t>(count - correction, 0));
    std::vector<double> means(size_t(plan.kept.numel()));
    reduction::reduce<Plus, T>(plan, nullptr,
                               [&](int64_t k, double total) { means[size_t(k)] = total / double(count); });
    reduction::reduce<Plus, T, SquaredDistance>(
        plan, means.data(), [=](int64_t k, double total) { out[k] = convert<Y>(T(total / divisor)); });
  });
}

}  // namespace

Kernel<ConstView, View> sum{"sum", sum_cpu};
Kernel<ConstView, View> prod{"prod", prod_cpu};
Kernel<ConstView, View> mean{"mean", mean_cpu};
Kernel<ConstView, int64_t, View> var{"var", var_cpu};

}  // namespace rstorch::kernels
