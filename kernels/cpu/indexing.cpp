#include "kernels/indexing.h"

#include <cstring>

#include "kernels/cpu/convert.h"
#include "kernels/cpu/map.h"
#include "kernels/cpu/walk.h"
#include "kernels/index_error.h"

namespace rstorch::kernels {
namespace {

void check_indices(const ConstView& index, int64_t size, const char* op) {
  for (int64_t i = 0; i < index.numel(); ++i) {
    const int64_t value = index.as<int64_t>()[i];
    if (value < 0 || value >= size) throw index_error({op, i, value, size});
  }
}

// The shapes [outer, size, inner] of x and [outer, count, inner] of y.
struct Slices {
  int64_t outer, size, count, inner;
  Slices(const ConstView& x, const ConstView& y)
      : outer(x.shape[0]), size(x.shape[1]), count(y.shape[1]), inner(x.shape[2]) {}
};

void index_select_cpu(CpuStream&, ConstView x, ConstView index, View y) {
  const Slices s(x, y);
  check_indices(index, s.size, "index_select");
  const size_t bytes = size_t(s.inner) * size_of(x.dtype);
  if (bytes == 0) return;
  const int64_t* const from = index.as<int64_t>();
  parallel_for(s.outer * s.count, kGrain / std::max<int64_t>(s.inner, 1), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const int64_t o = row / s.count, i = row % s.count;
      std::memcpy(y.as<char>() + size_t(row) * bytes, x.as<char>() + size_t(o * s.size + from[i]) * bytes, bytes);
    }
  });
}

// Threads share the columns, so that every element is added to by one thread, in the order of the index.
void index_add_cpu(CpuStream&, ConstView dy, ConstView index, View dx) {
  const Slices s(dx, dy);
  check_indices(index, s.size, "index_add");
  const int64_t* const to = index.as<int64_t>();
  dispatch(Floats{}, dx.dtype, "index_add", [&]<class T>(Type<T>) {
    using C = Compute<T>;
    const int64_t work = std::max<int64_t>(s.outer * s.count, 1);
    parallel_for(s.inner, kGrain / work, [&](int64_t begin, int64_t end) {
      for (int64_t o = 0; o < s.outer; ++o) {
        for (int64_t i = 0; i < s.count; ++i) {
          const T* const from = dy.as<T>() + (o * s.count + i) * s.inner;
          T* const into = dx.as<T>() + (o * s.size + to[i]) * s.inner;
          vectorised([=] {
            for (int64_t j = begin; j < end; ++j) into[j] = convert<T>(convert<C>(into[j]) + convert<C>(from[j]));
          });
        }
      }
    });
  });
}

// Calls f(big_at, small_at, index_at, length) for each line along `dim`: where it begins, in elements, and how long it
// is.
template <class F>
void for_each_line(const ConstView& big, const ConstView& small, const ConstView& index, int dim, const F& f) {
  Box lines;
  Index big_strides{}, small_strides{}, index_strides{};
  for (int i = 0; i < small.dims(); ++i) {
    if (i == dim) continue;
    const auto at = size_t(lines.dims++);
    lines.sizes[at] = small.shape[i];
    big_strides[at] = big.strides[i];
    small_strides[at] = small.strides[i];
    index_strides[at] = index.strides[i];
  }
  if (lines.dims == 0) lines.sizes[size_t(lines.dims++)] = 1;
  const int64_t length = small.dims() > 0 ? small.shape[dim] : 1;
  parallel_for(lines.numel(), kGrain / std::max<int64_t>(length, 1), [&](int64_t begin, int64_t end) {
    Index line = lines.at(begin);
    for (int64_t i = begin; i < end; ++i, lines.advance(line, 1)) {
      f(lines.offset(line, big_strides), lines.offset(line, small_strides), lines.offset(line, index_strides), length);
    }
  });
}

int64_t stride_of(const ConstView& x, int dim) { return x.dims() > 0 ? x.strides[dim] : 0; }

void gather_cpu(CpuStream&, ConstView x, int dim, ConstView index, View y) {
  check_indices(index, x.dims() > 0 ? x.shape[dim] : 1, "gather");
  const int64_t x_stride = stride_of(x, dim), y_stride = stride_of(y, dim), index_stride = stride_of(index, dim);
  dispatch(AllTypes{}, x.dtype, "gather", [&]<class T>(Type<T>) {
    for_each_line(x, y, index, dim, [&](int64_t x_at, int64_t y_at, int64_t index_at, int64_t length) {
      for (int64_t i = 0; i < length; ++i) {
        const int64_t from = index.as<int64_t>()[index_at + i * index_stride];
        y.as<T>()[y_at + i * y_stride] = x.as<T>()[x_at + from * x_stride];
      }
    });
  });
}

void scatter_add_cpu(CpuStream&, ConstView dy, int dim, ConstView index, View dx) {
  check_indices(index, dx.dims() > 0 ? dx.shape[dim] : 1, "scatter_add");
  const int64_t dx_stride = stride_of(dx, dim), dy_stride = stride_of(dy, dim), index_stride = stride_of(index, dim);
  dispatch(Floats{}, dx.dtype, "scatter_add", [&]<class T>(Type<T>) {
    using C = Compute<T>;
    for_each_line(dx, dy, index, dim, [&](int64_t dx_at, int64_t dy_at, int64_t index_at, int64_t length) {
      for (int64_t i = 0; i < length; ++i) {
        T& into = dx.as<T>()[dx_at + index.as<int64_t>()[index_at + i * index_stride] * dx_stride];
        into = convert<T>(convert<C>(into) + convert<C>(dy.as<T>()[dy_at + i * dy_stride]));
      }
    });
  });
}

}  // namespace

Kernel<ConstView, ConstView, View> index_select{"index_select", index_select_cpu};
Kernel<ConstView, ConstView, View> index_add{"index_add", index_add_cpu};
Kernel<ConstView, int, ConstView, View> gather{"gather", gather_cpu};
Kernel<ConstView, int, ConstView, View> scatter_add{"scatter_add", scatter_add_cpu};

}  // namespace rstorch::kernels
