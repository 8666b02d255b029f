// Rows of [outer, size, inner] or [outer, size], a group of threads to each, and what kernels on them share.
#pragma once

#include <limits>

#include "base/view.h"
#include "kernels/cuda/group.cuh"
#include "kernels/element.h"
#include "kernels/math.h"

namespace rstorch::kernels {

// Element i of row r is at first(r) + i * inner.
struct Rows {
  int64_t count, size, inner;

  explicit Rows(const ConstView& view)
      : count(view.size(0)), size(view.size(1)), inner(view.dims() > 2 ? view.size(2) : 1) {
    count *= inner;
  }
  __device__ int64_t first(int64_t row) const {
    return inner == 1 ? row * size : row / inner * size * inner + row % inner;
  }
};

// A group's row. Every lane goes over the elements lane, lane + Lanes, ...
template <unsigned Lanes>
struct Row {
  Group<Lanes> group;
  int64_t first, begin, end, step;  // no elements for a group without a row

  __device__ explicit Row(const Rows& rows) {
    const int64_t row = group.row();
    first = row < rows.count ? rows.first(row) : 0;
    begin = first + group.lane() * rows.inner;
    end = row < rows.count ? first + rows.size * rows.inner : 0;
    step = Lanes * rows.inner;
  }
  // f(i) for the places i of the lane's elements.
  template <class F>
  __device__ void each(const F& f) const {
    for (int64_t i = begin; i < end; i += step) f(i);
  }
  // The same with the number of the element in its row: f(i, number).
  template <class F>
  __device__ void each_numbered(const F& f) const {
    int64_t number = group.lane();
    for (int64_t i = begin; i < end; i += step, number += Lanes) f(i, number);
  }
};

// log of a sum of exponentials, whose terms come one by one: top + log(total) with the largest term as top (Milakov &
// Gimelshein 2018).
template <class C>
struct LogSum {
  static constexpr C kNone = -std::numeric_limits<C>::infinity();
  C top = kNone, total = 0;

  __device__ void add(C x) {
    if (x == kNone) return;
    const C smaller = math::exp(-math::abs(x - top));
    if (x > top) {
      total = total * smaller + C(1);
      top = x;
    } else {
      total += smaller;
    }
  }
  // The sum of all lanes; nan where a term is infinity or nan.
  template <unsigned Lanes>
  __device__ void merge(const Group<Lanes>& group) {
    const C mine = top;
    top = group.merge(mine, [](C a, C b) { return math::maximum(a, b); });
    total = group.sum(mine == kNone ? total : total * math::exp(mine - top));
  }
};

// Calls f.operator()<Lanes>(). Neighbouring threads take neighbours in memory: elements of a row, or rows side by side.
template <class F>
void with_lanes(const Rows& rows, const F& f) {
  if (rows.inner > 1) return f.template operator()<1>();
  with_group(rows.size, f);
}

}  // namespace rstorch::kernels
