// The engine of the CPU reductions; kernels/reduce.h has what it promises.
//
// Rows: where neighbours in memory belong to one result, blocks of them are added up in lanes. Columns: where
// neighbours belong to neighbouring results, whole rows are added to each other. Strided and 16-bit elements are
// gathered into a buffer first.
#pragma once

#include <cmath>
#include <vector>

#include "kernels/cpu/convert.h"
#include "kernels/cpu/map.h"
#include "kernels/cpu/walk.h"
#include "kernels/math.h"
#include "kernels/reduce.h"

namespace rstorch::kernels::reduction {
inline constexpr int64_t kBlock = 1024;  // elements reduced in their own precision, before they go into a wider total
inline constexpr int64_t kChunk = 1 << 16;  // elements of a task: what is longer is cut, whatever the number of threads
inline constexpr int64_t kLanes = 32;       // accumulators of a block, the same for every instruction set
inline constexpr int64_t kColumns = 256;    // width of a task that reduces columns
inline constexpr int64_t kRows = 64;        // rows of it before its sums go into wider totals

// The totals of sums of floats.
template <class T>
using Wide = std::conditional_t<std::is_same_v<T, float>, double, T>;

// What an element type is reduced in.
template <class T>
using Reduced = std::conditional_t<std::is_same_v<T, bool>, uint8_t, Compute<T>>;

// What is combined: the elements themselves, or a function of them and of a center that each result has.
struct Itself {
  template <class T>
  RST_HD T operator()(T x, T) const {
    return x;
  }
};
// x cut into dimensions that stay and dimensions that are reduced.
struct Plan {
  const char* x;
  DType dtype;
  Box kept, reduced;
  Index kept_strides{}, reduced_strides{};  // of x, in bytes

  Plan(const ConstView& view, const View& y) : x(static_cast<const char*>(view.data)), dtype(view.dtype) {
    for (int i = 0; i < view.dims(); ++i) {
      if (view.shape[i] == 1) continue;
      const int64_t stride = view.strides[i] * int64_t(size_of(dtype));
      if (y.shape[i] == 1)
        append(reduced, reduced_strides, view.shape[i], stride);
      else
        append(kept, kept_strides, view.shape[i], stride);
    }
    if (kept.dims == 0) append(kept, kept_strides, 1, 0);
    if (reduced.dims == 0) append(reduced, reduced_strides, 1, 0);
  }
  // True if neighbours in memory belong to different results.
  bool by_columns() const {
    return kept.sizes[size_t(kept.inner())] > 1 &&
           std::abs(kept_strides[size_t(kept.inner())]) < std::abs(reduced_strides[size_t(reduced.inner())]);
  }

  // True if the elements of a result are a few neighbours.
  template <class T>
  bool has_short_rows() const {
    return dtype == dtype_of<T>() && reduced.dims == 1 && reduced.sizes[0] <= kLanes &&
           reduced_strides[0] == int64_t(sizeof(T));
  }

 private:
  static void append(Box& box, Index& strides, int64_t size, int64_t stride) {
    if (box.dims > 0 && strides[size_t(box.inner())] == stride * size) {
      box.sizes[size_t(box.inner())] *= size;
    } else {
      box.sizes[size_t(box.dims++)] = size;
    }
    strides[size_t(box.inner())] = stride;
  }
};

// R says how elements are combined: R::identity<T> and R::combine(a, b).
template <class R, class T, class Load>
T reduce_block(const T* x, int64_t n, T center) {
  T out = R::template identity<T>;
  vectorised([=, to = &out] {
    T lanes[kLanes];
    for (int64_t l = 0; l < kLanes; ++l) lanes[l] = R::template identity<T>;
    int64_t i = 0;
    for (; i + kLanes <= n; i += kLanes) {
      for (int64_t l = 0; l < kLanes; ++l) lanes[l] = R::combine(lanes[l], Load{}(x[i + l], center));
    }
    for (int64_t l = 0; i + l < n; ++l) lanes[l] = R::combine(lanes[l], Load{}(x[i + l], center));
    for (int64_t width = kLanes / 2; width > 0; width /= 2) {
      for (int64_t l = 0; l < width; ++l) lanes[l] = R::combine(lanes[l], lanes[l + width]);
    }
    *to = lanes[0];
  });
  return out;
}

// The elements [begin, end) of one result, whose element 0 is at x.
template <class R, class T, class Load>
Wide<T> reduce_range(const Plan& plan, const char* x, int64_t begin, int64_t end, Wide<T> center) {
  alignas(64) T buffer[kBlock];
  const ConvertRun convert = convert_run(plan.dtype, dtype_of<T>());
  const int inner = plan.reduced.inner();
  const int64_t stride = plan.reduced_strides[size_t(inner)] / int64_t(size_of(plan.dtype));
  const bool unit = stride == 1 && plan.dtype == dtype_of<T>();
  Wide<T> total = R::template identity<Wide<T>>;
  Index index = plan.reduced.at(begin);
  while (begin < end) {
    int64_t n = std::min(kBlock, end - begin);
    const T* block = buffer;
    const int64_t in_row = plan.reduced.left_in_row(index);
    if (unit && (n <= in_row || in_row >= kLanes)) {
      n = std::min(n, in_row);
      block = reinterpret_cast<const T*>(x + plan.reduced.offset(index, plan.reduced_strides));
    } else {
      T* to = buffer;
      plan.reduced.for_each_run(index, n, [&](const Index& from, int64_t count) {
        convert(x + plan.reduced.offset(from, plan.reduced_strides), stride, to, 1, count);
        to += count;
      });
    }
    total = R::combine(total, Wide<T>(reduce_block<R, T, Load>(block, n, T(center))));
    plan.reduced.advance(index, n);
    begin += n;
  }
  return total;
}

// Short rows, one element after the other: setting up lanes would cost more than they save.
template <class R, class T, class Load, class Emit>
void reduce_short_rows(const Plan& plan, const Wide<T>* centers, Emit emit) {
  const int64_t length = plan.reduced.numel();
  parallel_for(plan.kept.numel(), kGrain / length, [&](int64_t begin, int64_t end) {
    Index index = plan.kept.at(begin);
    for (int64_t k = begin; k < end; ++k, plan.kept.advance(index, 1)) {
      const T* const row = reinterpret_cast<const T*>(plan.x + plan.kept.offset(index, plan.kept_strides));
      const T center = centers ? T(centers[k]) : T(0);
      Wide<T> total = R::template identity<Wide<T>>;
      for (int64_t i = 0; i < length; ++i) total = R::combine(total, Wide<T>(Load{}(row[i], center)));
      emit(k, total);
    }
  });
}

// Results whose elements are neighbours in memory: one after the other.
template <class R, class T, class Load, class Emit>
void reduce_rows(const Plan& plan, const Wide<T>* centers, Emit emit) {
  const int64_t outputs = plan.kept.numel(), length = plan.reduced.numel();
  const int64_t chunks = divide_up(length, kChunk);
  std::vector<Wide<T>> partial(chunks > 1 ? size_t(outputs * chunks) : 0);
  parallel_for(outputs * chunks, kGrain / std::min(length, kChunk), [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t k = task / chunks, chunk = task % chunks;
      const char* const x = plan.x + plan.kept.offset(plan.kept.at(k), plan.kept_strides);
      const Wide<T> total = reduce_range<R, T, Load>(plan, x, chunk * kChunk, std::min(length, (chunk + 1) * kChunk),
                                                     centers ? centers[k] : Wide<T>(0));
      if (chunks == 1)
        emit(k, total);
      else
        partial[size_t(task)] = total;
    }
  });
  for (int64_t k = 0; chunks > 1 && k < outputs; ++k) {
    Wide<T> total = partial[size_t(k * chunks)];
    for (int64_t c = 1; c < chunks; ++c) total = R::combine(total, partial[size_t(k * chunks + c)]);
    emit(k, total);
  }
}

// totals[j] = combine of the rows' element j. Rows are `stride` bytes apart, at most kRows of them.
template <class R, class T, class Load>
void reduce_few_rows(const char* x, int64_t stride, int64_t rows, int64_t width, const Wide<T>* centers,
                     Wide<T>* totals) {
  vectorised([=] {
    alignas(64) T sums[kColumns], center[kColumns];
    for (int64_t j = 0; j < width; ++j) {
      sums[j] = R::template identity<T>;
      center[j] = centers ? T(centers[j]) : T(0);
    }
    int64_t i = 0;
    for (; i + 4 <= rows; i += 4) {
      const T* const a = reinterpret_cast<const T*>(x + i * stride);
      const T* const b = reinterpret_cast<const T*>(x + (i + 1) * stride);
      const T* const c = reinterpret_cast<const T*>(x + (i + 2) * stride);
      const T* const d = reinterpret_cast<const T*>(x + (i + 3) * stride);
      for (int64_t j = 0; j < width; ++j) {
        const T ab = R::combine(Load{}(a[j], center[j]), Load{}(b[j], center[j]));
        const T cd = R::combine(Load{}(c[j], center[j]), Load{}(d[j], center[j]));
        sums[j] = R::combine(sums[j], R::combine(ab, cd));
      }
    }
    for (; i < rows; ++i) {
      const T* const a = reinterpret_cast<const T*>(x + i * stride);
      for (int64_t j = 0; j < width; ++j) sums[j] = R::combine(sums[j], Load{}(a[j], center[j]));
    }
    for (int64_t j = 0; j < width; ++j) totals[j] = R::combine(totals[j], Wide<T>(sums[j]));
  });
}

// The rows [begin, end) of `width` neighbouring results, whose first element 0 is at x.
template <class R, class T, class Load>
void reduce_column_range(const Plan& plan, const char* x, int64_t begin, int64_t end, int64_t width,
                         const Wide<T>* centers, Wide<T>* totals) {
  alignas(64) T buffer[kColumns];
  const ConvertRun convert = convert_run(plan.dtype, dtype_of<T>());
  const int64_t column_stride = plan.kept_strides[size_t(plan.kept.inner())] / int64_t(size_of(plan.dtype));
  const int64_t row_stride = plan.reduced_strides[size_t(plan.reduced.inner())];
  const bool unit = column_stride == 1 && plan.dtype == dtype_of<T>();
  std::fill_n(totals, width, R::template identity<Wide<T>>);
  plan.reduced.for_each_run(plan.reduced.at(begin), end - begin, [&](const Index& index, int64_t rows) {
    const char* row = x + plan.reduced.offset(index, plan.reduced_strides);
    for (int64_t i = 0; i < rows;) {
      const int64_t n = unit ? std::min(kRows, rows - i) : 1;
      const char* from = row + i * row_stride;
      if (!unit) {
        convert(from, column_stride, buffer, 1, width);
        from = reinterpret_cast<const char*>(buffer);
      }
      reduce_few_rows<R, T, Load>(from, row_stride, n, width, centers, totals);
      i += n;
    }
  });
}

// Results that are neighbours in memory: many at a time, row by row.
template <class R, class T, class Load, class Emit>
void reduce_columns(const Plan& plan, const Wide<T>* centers, Emit emit) {
  const int64_t columns = plan.kept.sizes[size_t(plan.kept.inner())], outer = plan.kept.numel() / columns;
  const int64_t rows = plan.reduced.numel();
  const int64_t blocks = divide_up(columns, kColumns);
  const int64_t chunk_rows = std::max(kRows, kChunk / std::min(columns, kColumns) / kRows * kRows);
  const int64_t chunks = divide_up(rows, chunk_rows);
  std::vector<Wide<T>> partial(chunks > 1 ? size_t(outer * columns * chunks) : 0);  // [outer, chunks, columns]
  const int64_t work = std::min(columns, kColumns) * std::min(rows, chunk_rows);
  parallel_for(outer * chunks * blocks, kGrain / work, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t block = task % blocks, chunk = task / blocks % chunks, o = task / blocks / chunks;
      const int64_t first = o * columns + block * kColumns, width = std::min(kColumns, columns - block * kColumns);
      const char* const x = plan.x + plan.kept.offset(plan.kept.at(first), plan.kept_strides);
      alignas(64) Wide<T> totals[kColumns];
      reduce_column_range<R, T, Load>(plan, x, chunk * chunk_rows, std::min(rows, (chunk + 1) * chunk_rows), width,
                                      centers ? centers + first : nullptr, totals);
      Wide<T>* const kept = partial.data() + (o * chunks + chunk) * columns + block * kColumns;
      for (int64_t j = 0; j < width; ++j) {
        if (chunks == 1)
          emit(first + j, totals[j]);
        else
          kept[j] = totals[j];
      }
    }
  });
  for (int64_t k = 0; chunks > 1 && k < outer * columns; ++k) {
    const Wide<T>* const kept = partial.data() + k / columns * chunks * columns + k % columns;
    Wide<T> total = kept[0];
    for (int64_t c = 1; c < chunks; ++c) total = R::combine(total, kept[c * columns]);
    emit(k, total);
  }
}

// Calls emit(k, total) for each result k, in row-major order of y.
template <class R, class T, class Load = Itself, class Emit>
void reduce(const Plan& plan, const Wide<T>* centers, Emit emit) {
  if (plan.kept.numel() == 0) return;
  if (plan.reduced.numel() == 0) {
    for (int64_t k = 0; k < plan.kept.numel(); ++k) emit(k, R::template identity<Wide<T>>);
  } else if (plan.has_short_rows<T>()) {
    reduce_short_rows<R, T, Load>(plan, centers, emit);
  } else if (plan.by_columns()) {
    reduce_columns<R, T, Load>(plan, centers, emit);
  } else {
    reduce_rows<R, T, Load>(plan, centers, emit);
  }
}

// y = R over x, computed in the type of y.
template <class R, class... Ts>
void reduce_cpu(TypeList<Ts...> types, std::string_view name, const ConstView& x, const View& y) {
  dispatch(types, y.dtype, name, [&]<class Y>(Type<Y>) {
    using T = Reduced<Y>;
    Y* const out = y.as<Y>();
    reduce<R, T>(Plan(x, y), nullptr, [out](int64_t k, Wide<T> total) { out[k] = convert<Y>(T(total)); });
  });
}

}  // namespace rstorch::kernels::reduction
