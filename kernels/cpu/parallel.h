// Loops over the OpenMP pool, the one that oneDNN uses too.
//
// May be called from several threads at once, each with its own team; inside a parallel region the calling thread does
// all. The first exception of a piece (no memory for a buffer, say) is thrown on when all pieces have ended.
#pragma once

#include <algorithm>
#include <cstdint>
#include <exception>

#include <omp.h>

namespace rstorch::kernels {

// Work that is not worth a second thread, in elements of a simple loop.
inline constexpr int64_t kGrain = 16384;

// Pieces of size b that cover a; a >= 0, b > 0.
constexpr int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

namespace detail {
// Calls f(i) for i in [0, pieces), each on a thread of its own. The team is the full one for few pieces too: libgomp
// ends and creates threads where a team's size differs from the last one's.
template <class F>
void run_pieces(int64_t pieces, const F& f) {
  std::exception_ptr error;
#pragma omp parallel for schedule(static, 1)
  for (int64_t i = 0; i < pieces; ++i) {
    try {
      f(i);
    } catch (...) {
#pragma omp critical(rstorch_run_pieces)
      if (!error) error = std::current_exception();
    }
  }
  if (error) std::rethrow_exception(error);
}
}  // namespace detail

// Calls f(begin, end) on pieces that make up [0, n), each at least about `grain` long. Where there are enough elements,
// all pieces but the last are multiples of 64 long, so that the same elements lie in whole vectors whatever the number
// of threads.
template <class F>
void parallel_for(int64_t n, int64_t grain, const F& f) {
  if (n <= 0) return;
  const int64_t useful = std::max<int64_t>(n / std::max<int64_t>(grain, 1), 1);
  const int64_t pieces =
      n < 2 || useful < 2 || omp_in_parallel() ? 1 : std::min<int64_t>(omp_get_max_threads(), useful);
  if (pieces == 1) return f(int64_t(0), n);
  const int64_t piece = n < 64 * pieces ? divide_up(n, pieces) : divide_up(divide_up(n, pieces), 64) * 64;
  detail::run_pieces(pieces, [&](int64_t i) {
    if (i * piece < n) f(i * piece, std::min(n, (i + 1) * piece));
  });
}

// Calls f(begin, end) on pieces that make up the tasks [0, n), as even as can be: for tasks whose results do not depend
// on how they are shared out. `cost` is that of a task in elements of a simple loop; eight multiply-adds of a product
// cost as much.
template <class F>
void parallel_tasks(int64_t n, int64_t cost, const F& f) {
  if (n <= 0) return;
  const int64_t useful = std::clamp<int64_t>(n * cost / kGrain, 1, n);
  const int64_t pieces = omp_in_parallel() ? 1 : std::min<int64_t>(omp_get_max_threads(), useful);
  if (pieces == 1) return f(int64_t(0), n);
  detail::run_pieces(pieces, [&](int64_t i) { f(n * i / pieces, n * (i + 1) / pieces); });
}

}  // namespace rstorch::kernels
