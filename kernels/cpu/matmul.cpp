#include "kernels/matmul.h"

#include "kernels/cpu/gemm.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/scratch.h"
#include "kernels/cpu/simd.h"
#include "kernels/elementwise/unary_ops.h"

namespace rstorch::kernels {
namespace {

// Products of fewer multiply-adds than this run one per thread; of larger ones each takes all threads.
constexpr int64_t kSmallProduct = 1 << 20;

template <class T>
Matrix<const T> matrix(const ConstView& batch, int64_t i) {
  return {batch.as<T>() + i * batch.strides[0], batch.shape[1], batch.shape[2], batch.strides[1], batch.strides[2]};
}

template <class T>
void matmul_floats(const CpuStream& stream, const ConstView& a, const ConstView& c, const View& y) {
  const int64_t batch = y.shape[0], rows = y.shape[1], columns = y.shape[2];
  const auto run = [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      gemm<T>(stream, matrix<T>(a, i), matrix<T>(c, i), {y.as<T>() + i * rows * columns, rows, columns, columns, 1});
    }
  };
  const int64_t cost = rows * columns * a.shape[2];
  if (batch > 1 && cost <= kSmallProduct) return parallel_tasks(batch, cost / 8, run);
  run(0, batch);
}

template <class T>
void matmul_integers(const ConstView& a, const ConstView& c, const View& y) {
  const int64_t rows = y.shape[1], columns = y.shape[2], inner = a.shape[2];
  parallel_tasks(y.shape[0] * rows, inner * columns, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const Matrix<const T> left = matrix<T>(a, i / rows), right = matrix<T>(c, i / rows);
      T* const out = y.as<T>() + i * columns;
      std::fill_n(out, columns, T(0));
      for (int64_t k = 0; k < inner; ++k) {
        const T x = *left.at(i % rows, k);
        for (int64_t j = 0; j < columns; ++j) out[j] = T(out[j] + x * *right.at(k, j));
      }
    }
  });
}

void matmul_cpu(CpuStream& stream, ConstView a, ConstView c, View y) {
  if (y.numel() == 0) return;
  dispatch(Numbers{}, y.dtype, "matmul", [&]<class T>(Type<T>) {
    if constexpr (std::is_floating_point_v<T>) {
      matmul_floats<T>(stream, a, c, y);
    } else {
      matmul_integers<T>(a, c, y);
    }
  });
}

void linear_cpu(CpuStream& stream, ConstView x, ConstView w, ConstView bias, Activation activation, View z, View y) {
  const int64_t rows = y.shape[0], in = x.shape[1], out = y.shape[1];
  dispatch(FullFloats{}, y.dtype, "linear", [&]<class T>(Type<T>) {
    gemm<T>(stream, {x.as<T>(), rows, in, in, 1}, {w.as<T>(), in, out, 1, in}, {y.as<T>(), rows, out, out, 1},
            {bias.as<T>(), activation, z.as<T>()});
  });
}

// Rows in at most 32 chunks that depend on their number only, so that sums over them do not depend on the number of
// threads.
struct Chunks {
  explicit Chunks(int64_t rows) : rows(rows), size(std::max<int64_t>(divide_up(rows, 32), 1)) {}
  int64_t count() const { return divide_up(rows, size); }

  int64_t rows, size;
};

// out[j] = sum over i of rows[i, j], from the first row to the last.
template <class T>
void add_rows(const T* rows, int64_t count, int64_t columns, T* out) {
  vectorised([=] {
    std::fill_n(out, columns, T(0));
    for (int64_t i = 0; i < count; ++i) {
      for (int64_t j = 0; j < columns; ++j) out[j] += rows[i * columns + j];
    }
  });
}

// A block of rows and columns of dy, and what comes of it: dz, and the sum of its rows.
template <class T>
struct Part {
  const T *dy, *kept;
  T *dz, *sum;
  int64_t rows, columns, stride;
};

template <Activation activation, class T>
void mask_and_sum(const Part<T>& part) {
  vectorised([part] {
    std::fill_n(part.sum, part.columns, T(0));
    for (int64_t row = 0; row < part.rows; ++row) {
      const int64_t at = row * part.stride;
#pragma GCC ivdep
      for (int64_t j = 0; j < part.columns; ++j) {
        T value = part.dy[at + j];
        if constexpr (activation == Activation::relu) {
          value = part.kept[at + j] <= T(0) ? T(0) : value;  // nan passes, as in Relu::slope
        } else if constexpr (activation == Activation::gelu_tanh) {
          value *= GeluTanh::slope(part.kept[at + j]);
        }
        if constexpr (activation != Activation::none) part.dz[at + j] = value;
        part.sum[j] += value;
      }
    }
  });
}

// Blocks of columns are shared out too, so that a batch of few rows keeps all threads busy.
constexpr int64_t kColumns = 128;

template <class T>
void backward_activation(const CpuStream& stream, const ConstView& dy, const ConstView& kept, Activation activation,
                         const View& dz, const View& dbias) {
  const int64_t columns = dy.shape[1], blocks = divide_up(columns, kColumns);
  const Chunks chunks(dy.shape[0]);
  const Scratch<T> sums(stream, chunks.count() * columns);
  const auto run = [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t chunk = task / blocks, column = task % blocks * kColumns, row = chunk * chunks.size;
      const int64_t at = row * columns + column;
      const bool masked = activation != Activation::none;
      const Part<T> part{dy.as<T>() + at,
                         masked ? kept.as<T>() + at : nullptr,
                         masked ? dz.as<T>() + at : nullptr,
                         sums.data() + chunk * columns + column,
                         std::min(chunks.size, chunks.rows - row),
                         std::min(kColumns, columns - column),
                         columns};
      switch (activation) {
        case Activation::none:
          mask_and_sum<Activation::none>(part);
          break;
        case Activation::relu:
          mask_and_sum<Activation::relu>(part);
          break;
        case Activation::gelu_tanh:
          mask_and_sum<Activation::gelu_tanh>(part);
          break;
      }
    }
  };
  parallel_tasks(chunks.count() * blocks, chunks.size * std::min(kColumns, columns), run);
  if (dbias.defined()) add_rows(sums.data(), chunks.count(), columns, dbias.as<T>());
}

void linear_backward_activation_cpu(CpuStream& stream, ConstView dy, ConstView kept, Activation activation, View dz,
                                    View dbias) {
  dispatch(FullFloats{}, dy.dtype, "linear_backward_activation",
           [&]<class T>(Type<T>) { backward_activation<T>(stream, dy, kept, activation, dz, dbias); });
}

void linear_backward_weights_cpu(CpuStream& stream, ConstView dz, ConstView x, View dw, View dbias) {
  if (dbias.defined()) linear_backward_activation_cpu(stream, dz, {}, Activation::none, {}, dbias);
  const int64_t rows = dz.size(0), out = dz.size(1), in = x.size(1);
  dz.shape = {1, out, rows}, dz.strides = {0, 1, out};
  x.shape = {1, rows, in}, x.strides = {0, in, 1};
  dw.shape = {1, out, in}, dw.strides = {0, in, 1};
  matmul_cpu(stream, dz, x, dw);
}

}  // namespace

Kernel<ConstView, ConstView, View> matmul{"matmul", matmul_cpu};
Kernel<ConstView, ConstView, ConstView, Activation, View, View> linear{"linear", linear_cpu};
Kernel<ConstView, ConstView, Activation, View, View> linear_backward_activation{"linear_backward_activation",
                                                                                linear_backward_activation_cpu};
Kernel<ConstView, ConstView, View, View> linear_backward_weights{"linear_backward_weights",
                                                                 linear_backward_weights_cpu};

}  // namespace rstorch::kernels
