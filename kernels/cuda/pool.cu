// A thread has one pixel of what is written and gathers all that goes into it, in the order of memory: sums repeat bit
// by bit, and nothing is cleared before. Where channels are innermost it has as many of them as 16 bytes hold.
#include "kernels/cuda/each.cuh"
#include "kernels/cuda/install.h"
#include "kernels/cuda/pack.cuh"
#include "kernels/pool.h"
#include "kernels/pool_images.h"
#include "kernels/reduce.h"

namespace rstorch::kernels {
namespace {

struct Range {
  int begin, end;
};

// Windows at equal steps along one axis: output o reads the inputs start(o) + tap * dilation.
struct Steps {
  int input, output, taps, stride, padding, dilation;
  bool count_padding;
  Divider by_stride, by_dilation;

  Steps(int64_t input, int64_t output, const PoolGeometry& g, size_t axis)
      : input(int(input)),
        output(int(output)),
        taps(int(g.kernel[axis])),
        stride(int(g.stride[axis])),
        padding(int(g.padding[axis])),
        dilation(int(g.dilation[axis])),
        count_padding(g.count_padding),
        by_stride(uint32_t(stride)),
        by_dilation(uint32_t(dilation)) {}

  __device__ int start(int o) const { return o * stride - padding; }
  // Outputs whose windows reach over input i.
  __device__ Range over(int i) const {
    const int last = i + padding, first = max(last - (taps - 1) * dilation, 0);
    return {int(by_stride.divide(uint32_t(first + stride - 1)).quotient),
            min(int(by_stride.divide(uint32_t(last)).quotient) + 1, output)};
  }
  // Which tap of output o, one of over(i), reads input i; none: -1.
  __device__ int tap(int o, int i) const {
    const Divider::Result at = by_dilation.divide(uint32_t(i - start(o)));
    return at.remainder == 0 ? int(at.quotient) : -1;
  }

  // Of averages, which are not dilated.
  __device__ Range window(int o) const { return {max(start(o), 0), min(start(o) + taps, input)}; }
  __device__ int divisor(int o) const {
    if (count_padding) return min(start(o) + taps, input + padding) - start(o);
    return window(o).end - window(o).begin;
  }
};

// Windows that share the inputs evenly. Input and output change places: input i is in the windows of a range of outputs
// just as output o reads a range of inputs.
struct Shares {
  int input, output;
  Divider by_input, by_output;

  Shares(std::string_view name, int64_t input, int64_t output)
      : input(int(input)), output(int(output)), by_input(uint32_t(input)), by_output(uint32_t(output)) {
    if ((input + 1) * (output + 1) <= INT32_MAX) return;
    throw ShapeError(format("{}: from {} to {} rows or columns is too far for cuda", name, input, output));
  }

  __device__ Range window(int o) const { return range(o, input, output, by_output); }
  __device__ Range over(int i) const { return range(i, output, input, by_input); }
  __device__ int divisor(int o) const { return window(o).end - window(o).begin; }

 private:
  __device__ static Range range(int at, int size, int others, const Divider& by_others) {
    return {int(by_others.divide(uint32_t(at * size)).quotient),
            int(by_others.divide(uint32_t((at + 1) * size + others - 1)).quotient)};
  }
};

// The images of one side. V channels to a thread.
template <int V>
struct Side {
  int64_t size;  // elements of an image
  uint32_t w, channels;
  Divider threads_of_pixel, columns;

  explicit Side(const Images& images)
      : size(images.size()),
        w(uint32_t(images.w)),
        channels(uint32_t(images.channels)),
        threads_of_pixel(channels / V),
        columns(w) {}

  struct Place {
    int row, column;
    uint32_t channel;
  };
  // What a thread of for_each has.
  __device__ Place place(uint32_t thread) const {
    const Divider::Result pixel = threads_of_pixel.divide(thread), row = columns.divide(pixel.quotient);
    return {int(row.quotient), int(row.remainder), pixel.remainder * V};
  }
  __device__ uint32_t at(int row, int column) const { return (uint32_t(row) * w + uint32_t(column)) * channels; }
};

template <int V, class T, class I>
struct MaxPool {
  Side<V> in, out;
  Steps rows, columns;
  const T* x;
  T* y;
  I* index;

  __device__ void operator()(int64_t image, uint32_t thread) const {
    using C = Compute<T>;
    const auto place = out.place(thread);
    const T* const from = x + image * in.size + place.channel;
    const int top = rows.start(place.row), left = columns.start(place.column);
    Pack<C, V> best;
    Pack<I, V> winners;
    bool first = true;
    for (int ky = 0; ky < rows.taps; ++ky) {
      const int row = top + ky * rows.dilation;
      if (row < 0 || row >= rows.input) continue;
      for (int kx = 0; kx < columns.taps; ++kx) {
        const int column = left + kx * columns.dilation;
        if (column < 0 || column >= columns.input) continue;
        const auto values = convert_pack<C>(read_pack<V>(from + in.at(row, column)));
        for (int j = 0; j < V; ++j) {
          const C value = values.values[j];
          if (!first && !(value > best.values[j]) && value == value) continue;
          best.values[j] = value;
          winners.values[j] = I(ky * columns.taps + kx);
        }
        first = false;
      }
    }
    const int64_t to = image * out.size + out.at(place.row, place.column) + place.channel;
    write_pack(y + to, convert_pack<T>(best));
    write_pack(index + to, winners);
  }
};

template <int V, class T, class I>
struct MaxPoolBackward {
  Side<V> in, out;
  Steps rows, columns;
  const T* dy;
  const I* index;
  T* dx;

  __device__ void operator()(int64_t image, uint32_t thread) const {
    using C = Compute<T>;
    const auto place = in.place(thread);
    const int64_t from = image * out.size + place.channel;
    const Range over_rows = rows.over(place.row), over_columns = columns.over(place.column);
    Pack<C, V> sum{};
    for (int oy = over_rows.begin; oy < over_rows.end; ++oy) {
      const int ky = rows.tap(oy, place.row);
      if (ky < 0) continue;
      for (int ox = over_columns.begin; ox < over_columns.end; ++ox) {
        const int kx = columns.tap(ox, place.column);
        if (kx < 0) continue;
        const int64_t at = from + out.at(oy, ox);
        const auto winners = read_pack<V>(index + at);
        const auto gradient = convert_pack<C>(read_pack<V>(dy + at));
        for (int j = 0; j < V; ++j) {
          if (winners.values[j] == I(ky * columns.taps + kx)) sum.values[j] += gradient.values[j];
        }
      }
    }
    write_pack(dx + image * in.size + in.at(place.row, place.column) + place.channel, convert_pack<T>(sum));
  }
};

template <int V, class T, class Axis>
struct Average {
  Side<V> in, out;
  Axis rows, columns;
  const T* x;
  T* y;

  __device__ void operator()(int64_t image, uint32_t thread) const {
    using C = Compute<T>;
    const auto place = out.place(thread);
    const T* const from = x + image * in.size + place.channel;
    const Range window_rows = rows.window(place.row), window_columns = columns.window(place.column);
    Pack<C, V> sum{};
    for (int row = window_rows.begin; row < window_rows.end; ++row) {
      for (int column = window_columns.begin; column < window_columns.end; ++column) {
        const auto values = convert_pack<C>(read_pack<V>(from + in.at(row, column)));
        for (int j = 0; j < V; ++j) sum.values[j] += values.values[j];
      }
    }
    const C scale = C(1) / C(rows.divisor(place.row) * columns.divisor(place.column));
    for (C& value : sum.values) value *= scale;
    write_pack(y + image * out.size + out.at(place.row, place.column) + place.channel, convert_pack<T>(sum));
  }
};

template <int V, class T, class Axis>
struct AverageBackward {
  Side<V> in, out;
  Axis rows, columns;
  const T* dy;
  T* dx;

  __device__ void operator()(int64_t image, uint32_t thread) const {
    using C = Compute<T>;
    const auto place = in.place(thread);
    const T* const from = dy + image * out.size + place.channel;
    const Range over_rows = rows.over(place.row), over_columns = columns.over(place.column);
    Pack<C, V> sum{};
    for (int oy = over_rows.begin; oy < over_rows.end; ++oy) {
      const int divisor = rows.divisor(oy);
      for (int ox = over_columns.begin; ox < over_columns.end; ++ox) {
        const C scale = C(1) / C(divisor * columns.divisor(ox));
        const auto gradient = convert_pack<C>(read_pack<V>(from + out.at(oy, ox)));
        for (int j = 0; j < V; ++j) sum.values[j] += gradient.values[j] * scale;
      }
    }
    write_pack(dx + image * in.size + in.at(place.row, place.column) + place.channel, convert_pack<T>(sum));
  }
};

// Calls f.operator()<V>(), V channels to a thread: 16 bytes of T where all operands allow it, else 1.
template <class T, class F, class... Data>
void with_channels(const Images& images, const F& f, const Data*... data) {
  constexpr int V = kPack<T>;
  const bool whole = images.channels % V == 0 && (aligned(data, V * sizeof(Data)) && ...);
  whole ? f.template operator()<V>() : f.template operator()<1>();
}

template <int V, class F>
void for_each_pixel(CudaStream& stream, std::string_view name, const Images& written, const F& f) {
  for_each(stream, name, written.count, written.size() / V, f);
}

using IndexTypes = TypeList<uint8_t, int32_t>;

void max_pool2d_cuda(CudaStream& stream, ConstView x, PoolGeometry geometry, View y, View index) {
  const Images in(x, y), out(y, x);
  if (y.numel() == 0) return;
  const Steps rows(in.h, out.h, geometry, 0), columns(in.w, out.w, geometry, 1);
  dispatch(Floats{}, x.dtype, "max_pool2d", [&]<class T>(Type<T>) {
    dispatch(IndexTypes{}, index.dtype, "max_pool2d", [&]<class I>(Type<I>) {
      const auto run = [&]<int V>() {
        const MaxPool<V, T, I> f{Side<V>(in), Side<V>(out), rows, columns, x.as<T>(), y.as<T>(), index.as<I>()};
        for_each_pixel<V>(stream, "max_pool2d", out, f);
      };
      with_channels<T>(in, run, x.as<T>(), y.as<T>(), index.as<I>());
    });
  });
}

void max_pool2d_backward_cuda(CudaStream& stream, ConstView dy, ConstView index, PoolGeometry geometry, View dx) {
  const Images in(dx, dy), out(dy, dx);
  if (dx.numel() == 0) return;
  const Steps rows(in.h, out.h, geometry, 0), columns(in.w, out.w, geometry, 1);
  dispatch(Floats{}, dx.dtype, "max_pool2d_backward", [&]<class T>(Type<T>) {
    dispatch(IndexTypes{}, index.dtype, "max_pool2d_backward", [&]<class I>(Type<I>) {
      const auto run = [&]<int V>() {
        const MaxPoolBackward<V, T, I> f{Side<V>(in), Side<V>(out),  rows,      columns,
                                         dy.as<T>(),  index.as<I>(), dx.as<T>()};
        for_each_pixel<V>(stream, "max_pool2d_backward", in, f);
      };
      with_channels<T>(in, run, dy.as<T>(), index.as<I>(), dx.as<T>());
    });
  });
}

template <class Axis>
void average(CudaStream& stream, std::string_view name, const Axis& rows, const Axis& columns, const ConstView& x,
             const View& y) {
  const Images in(x, y), out(y, x);
  dispatch(Floats{}, x.dtype, name, [&]<class T>(Type<T>) {
    const auto run = [&]<int V>() {
      const Average<V, T, Axis> f{Side<V>(in), Side<V>(out), rows, columns, x.as<T>(), y.as<T>()};
      for_each_pixel<V>(stream, name, out, f);
    };
    with_channels<T>(in, run, x.as<T>(), y.as<T>());
  });
}

template <class Axis>
void average_backward(CudaStream& stream, std::string_view name, const Axis& rows, const Axis& columns,
                      const ConstView& dy, const View& dx) {
  const Images in(dx, dy), out(dy, dx);
  dispatch(Floats{}, dx.dtype, name, [&]<class T>(Type<T>) {
    const auto run = [&]<int V>() {
      const AverageBackward<V, T, Axis> f{Side<V>(in), Side<V>(out), rows, columns, dy.as<T>(), dx.as<T>()};
      for_each_pixel<V>(stream, name, in, f);
    };
    with_channels<T>(in, run, dy.as<T>(), dx.as<T>());
  });
}

void avg_pool2d_cuda(CudaStream& stream, ConstView x, PoolGeometry geometry, View y) {
  if (y.numel() == 0) return;
  const Steps rows(x.size(2), y.size(2), geometry, 0), columns(x.size(3), y.size(3), geometry, 1);
  average(stream, "avg_pool2d", rows, columns, x, y);
}

void avg_pool2d_backward_cuda(CudaStream& stream, ConstView dy, PoolGeometry geometry, View dx) {
  if (dx.numel() == 0) return;
  const Steps rows(dx.size(2), dy.size(2), geometry, 0), columns(dx.size(3), dy.size(3), geometry, 1);
  average_backward(stream, "avg_pool2d_backward", rows, columns, dy, dx);
}

void adaptive_avg_pool2d_cuda(CudaStream& stream, ConstView x, View y) {
  if (y.numel() == 0) return;
  if (y.size(2) == 1 && y.size(3) == 1) return mean.cuda(stream, x, y);  // whose threads share a window
  const Shares rows("adaptive_avg_pool2d", x.size(2), y.size(2)), columns("adaptive_avg_pool2d", x.size(3), y.size(3));
  average(stream, "adaptive_avg_pool2d", rows, columns, x, y);
}

void adaptive_avg_pool2d_backward_cuda(CudaStream& stream, ConstView dy, View dx) {
  if (dx.numel() == 0) return;
  constexpr std::string_view name = "adaptive_avg_pool2d_backward";
  const Shares rows(name, dx.size(2), dy.size(2)), columns(name, dx.size(3), dy.size(3));
  average_backward(stream, name, rows, columns, dy, dx);
}

}  // namespace

void install_pool() {
  max_pool2d.cuda = max_pool2d_cuda;
  max_pool2d_backward.cuda = max_pool2d_backward_cuda;
  avg_pool2d.cuda = avg_pool2d_cuda;
  avg_pool2d_backward.cuda = avg_pool2d_backward_cuda;
  adaptive_avg_pool2d.cuda = adaptive_avg_pool2d_cuda;
  adaptive_avg_pool2d_backward.cuda = adaptive_avg_pool2d_backward_cuda;
}

}  // namespace rstorch::kernels
