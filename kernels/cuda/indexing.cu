// Reading is a thread for each element, or 16 bytes of a row.
//
// Adding sorts the elements by where they go (kernels/cuda/sort.h) and gives each run of equal places to the threads of
// one row, who add it in the order of the index: sums that repeat bit by bit, and are the CPU's but for the rounding of
// halves, which are summed in f32. The cost: dy is read once, and only the rows of dx that the index names are touched;
// the sort takes 2 launches for up to 1024 elements, else 1 and 2 more for every 8 bits of the size (5 for a
// vocabulary of 50,000), and moves 16 bytes an element in each; a row that much of the index names is added by few
// threads, who have 8 rows of dy on their way at a time.
#include "kernels/cuda/device_errors.h"
#include "kernels/cuda/each.cuh"
#include "kernels/cuda/install.h"
#include "kernels/cuda/pack.cuh"
#include "kernels/cuda/sort.h"
#include "kernels/indexing.h"

namespace rstorch::kernels {
namespace {

void require_small(std::string_view name, int64_t count, std::string_view what) {
  if (count < INT32_MAX) return;
  throw ShapeError(format("{}: {} {} are too many for cuda", name, count, what));
}

template <class Unit>
struct Select {
  const Unit* x;
  const int64_t* index;
  Unit* y;
  IndexCheck checked;
  Divider count;
  int64_t size, units;  // rows of x, and how long they are

  __device__ void operator()(int64_t row, uint32_t unit) const {
    const Divider::Result at = count.divide(uint32_t(row));
    const int64_t from = index[at.remainder];
    if (!checked.valid(from, size, at.remainder)) return;
    y[row * units + unit] = x[(at.quotient * size + from) * units + unit];
  }
};

void index_select_cuda(CudaStream& stream, ConstView x, ConstView index, View y) {
  if (y.numel() == 0) return;
  const int64_t rows = y.size(0) * y.size(1);
  require_small("index_select", rows, "rows");
  const IndexCheck checked(stream, "index_select", index_error);
  const size_t bytes = size_t(x.size(2)) * size_of(x.dtype);
  const auto run = [&]<class Unit>() {
    const auto units = int64_t(bytes / sizeof(Unit));
    const Select<Unit> f{
        x.as<Unit>(), index.as<int64_t>(), y.as<Unit>(), checked, Divider(uint32_t(y.size(1))), x.size(1), units};
    for_each(stream, "index_select", rows, units, f);
  };
  with_unit(bytes, run, x.as<char>(), y.as<char>());
}

// Adds load(element) for the elements of the run that begins at `p`, in their order. Many loads are on their way at a
// time.
template <class T, int V, class Load>
__device__ void add_run(const Sorted& sorted, uint32_t p, Pack<Compute<T>, V>& sum, const Load& load) {
  constexpr uint32_t kAhead = 8;
  const uint32_t key = sorted.keys[p], last = sorted.count - 1;
  bool in_run[kAhead] = {};
  do {
    uint32_t elements[kAhead];
    Pack<T, V> packs[kAhead];
    for (uint32_t j = 0; j < kAhead; ++j) {
      const uint32_t at = min(p + j, last);
      const bool equal = sorted.keys[at] == key;  // not behind a branch, so that no load waits for another
      elements[j] = sorted.elements[at];
      in_run[j] = equal && p + j <= last;
    }
    for (uint32_t j = 0; j < kAhead; ++j) {
      if (in_run[j]) packs[j] = load(elements[j]);
    }
    for (uint32_t j = 0; j < kAhead && in_run[j]; ++j) {
      for (int k = 0; k < V; ++k) sum.values[k] += convert<Compute<T>>(packs[j].values[k]);
    }
    p += kAhead;
  } while (in_run[kAhead - 1]);
}

// True where a run of a key below `bound` begins; other keys are of bad indices.
__device__ bool begins_run(const Sorted& sorted, uint32_t p, uint32_t bound) {
  const uint32_t key = sorted.keys[p];
  return key < bound && (p == 0 || sorted.keys[p - 1] != key);
}

struct RowKeys {
  const int64_t* index;
  IndexCheck checked;
  uint32_t size;
  uint32_t* keys;

  __device__ void operator()(int64_t, uint32_t i) const {
    keys[i] = checked.valid(index[i], size, i) ? uint32_t(index[i]) : size;
  }
};

// Row `o * count + p` has the run that begins at p, if one does, of slice o.
template <int V, class T>
struct AddRows {
  Sorted sorted;
  Divider count;
  uint32_t size;  // rows of dx
  int64_t inner;
  const T* dy;
  T* dx;

  __device__ void operator()(int64_t row, uint32_t pack) const {
    const Divider::Result at = count.divide(uint32_t(row));
    const uint32_t p = at.remainder;
    if (!begins_run(sorted, p, size)) return;
    const T* const from = dy + int64_t(at.quotient) * sorted.count * inner + pack * V;
    T* const to = dx + (int64_t(at.quotient) * size + sorted.keys[p]) * inner + pack * V;
    auto sum = convert_pack<Compute<T>>(read_pack<V>(to));
    add_run<T, V>(sorted, p, sum, [&](uint32_t element) { return read_pack<V>(from + element * inner); });
    write_pack(to, convert_pack<T>(sum));
  }
};

void index_add_cuda(CudaStream& stream, ConstView dy, ConstView index, View dx) {
  if (dy.numel() == 0) return;
  const int64_t count = dy.size(1), size = dx.size(1), inner = dx.size(2), rows = dy.size(0) * count;
  require_small("index_add", rows, "rows");
  require_small("index_add", size, "rows");
  const Sort sort(stream, count, size + 1);
  const IndexCheck checked(stream, "index_add", index_error);
  for_each(stream, "index_add", 1, count, RowKeys{index.as<int64_t>(), checked, uint32_t(size), sort.keys()});
  const Sorted sorted = sort.run("index_add");
  dispatch(Floats{}, dx.dtype, "index_add", [&]<class T>(Type<T>) {
    const auto run = [&]<int V>() {
      const AddRows<V, T> f{sorted, Divider(uint32_t(count)), uint32_t(size), inner, dy.as<T>(), dx.as<T>()};
      for_each(stream, "index_add", rows, inner / V, f);
    };
    constexpr int V = kPack<T>;
    const bool whole = inner % V == 0 && aligned(dy.data, 16) && aligned(dx.data, 16);
    whole ? run.template operator()<V>() : run.template operator()<1>();
  });
}

int64_t size_along(const Shape& shape, int dim) { return shape.dims() > 0 ? shape[dim] : 1; }

// The shape or strides with another value for `dim`.
Shape with(Shape shape, int dim, int64_t value) {
  if (shape.dims() > 0) shape[dim] = value;
  return shape;
}

// What is indexed, along `dim`.
template <class T>
struct Axis {
  T* data;
  int64_t size, stride;

  Axis(T* data, const ConstView& view, int dim)
      : data(data), size(size_along(view.shape, dim)), stride(size_along(view.strides, dim)) {}
  __device__ T& at(uint32_t offset, int64_t i) const { return data[offset + i * stride]; }
};

template <class Unit>
struct Gather {
  Layout<3> layout;  // of y, x without `dim`, index
  Axis<const Unit> x;
  const int64_t* index;
  Unit* y;
  IndexCheck checked;
  int64_t first;  // number of the first index

  __device__ void operator()(int64_t, uint32_t i) const {
    const auto at = layout.offsets(i);
    const int64_t from = index[at.of[2]];
    if (checked.valid(from, x.size, first + at.of[2])) y[at.of[0]] = x.at(at.of[1], from);
  }
};

void gather_cuda(CudaStream& stream, ConstView x, int dim, ConstView index, View y) {
  if (y.numel() == 0) return;
  const IndexCheck checked(stream, "gather", index_error);
  const auto walk = make_walk<3>(y.shape, {y.strides, with(x.strides, dim, 0), index.strides});
  const auto run = [&]<class Unit>() {
    walk.for_each_small([&](const Walk<3>& part) {
      const Axis<const Unit> from(x.as<Unit>() + part.start[1], x, dim);
      const Gather<Unit> f{
          Layout<3>(part), from,         index.as<int64_t>() + part.start[2], y.as<Unit>() + part.start[0],
          checked,         part.start[2]};
      for_each(stream, "gather", 1, part.numel(), f);
    });
  };
  with_unit(size_of(x.dtype), run);
}

// A thread has a line along `dim`.
template <class T>
struct AddLines {
  Layout<3> lines;  // in dx, dy, index
  Axis<T> dx;
  Axis<const T> dy;
  Axis<const int64_t> index;
  IndexCheck checked;
  int64_t first;  // number of the first index

  __device__ void operator()(int64_t, uint32_t line) const {
    using C = Compute<T>;
    const auto at = lines.offsets(line);
    for (int64_t i = 0; i < index.size; ++i) {
      const int64_t to = index.at(at.of[2], i);
      if (!checked.valid(to, dx.size, first + at.of[2] + i * index.stride)) continue;
      T& sum = dx.at(at.of[0], to);
      sum = convert<T>(convert<C>(sum) + convert<C>(dy.at(at.of[1], i)));
    }
  }
};

void add_lines(CudaStream& stream, const ConstView& dy, int dim, const ConstView& index, const View& dx) {
  const IndexCheck checked(stream, "scatter_add", index_error);
  const auto walk = make_walk<3>(with(index.shape, dim, 1), {dx.strides, dy.strides, index.strides});
  dispatch(Floats{}, dx.dtype, "scatter_add", [&]<class T>(Type<T>) {
    walk.for_each_small([&](const Walk<3>& part) {
      const AddLines<T> f{Layout<3>(part),
                          {dx.as<T>() + part.start[0], dx, dim},
                          {dy.as<T>() + part.start[1], dy, dim},
                          {index.as<int64_t>() + part.start[2], index, dim},
                          checked,
                          part.start[2]};
      for_each(stream, "scatter_add", 1, part.numel(), f);
    });
  });
}

// Lines along a dimension of an index [outer, length, inner]. Key: number of the line, then the index.
struct LineKeys {
  const int64_t* index;
  IndexCheck checked;
  Divider inner, line;  // line: length * inner
  uint32_t size, bound;
  uint32_t* keys;

  __device__ void operator()(int64_t, uint32_t i) const {
    const uint32_t slice = line.divide(i).quotient, column = inner.divide(i).remainder;
    const bool valid = checked.valid(index[i], size, i);
    keys[i] = valid ? (slice * inner.divisor() + column) * size + uint32_t(index[i]) : bound;
  }
};

template <class T>
struct AddElements {
  Sorted sorted;
  uint32_t bound;
  Layout<2> layout;  // of dx without `dim`, dy; by number of the index
  const int64_t* index;
  Axis<T> dx;
  const T* dy;

  __device__ void operator()(int64_t, uint32_t p) const {
    if (!begins_run(sorted, p, bound)) return;
    const uint32_t first = sorted.elements[p];
    T& to = dx.at(layout.offsets(first).of[0], index[first]);
    Pack<Compute<T>, 1> sum = {{convert<Compute<T>>(to)}};
    add_run<T, 1>(sorted, p, sum, [&](uint32_t i) { return read_pack<1>(dy + layout.offsets(i).of[1]); });
    to = convert<T>(sum.values[0]);
  }
};

// Few long lines: an element of dx a thread.
void add_sorted(CudaStream& stream, const ConstView& dy, int dim, const ConstView& index, const View& dx,
                const Walk<2>& walk) {
  const int64_t count = index.numel(), length = size_along(index.shape, dim), size = size_along(dx.shape, dim);
  const auto inner = uint32_t(index.shape.slice(dim + 1, index.dims()).numel());
  const auto bound = uint32_t(count / length * size);
  const Sort sort(stream, count, bound + 1);
  const IndexCheck checked(stream, "scatter_add", index_error);
  for_each(stream, "scatter_add", 1, count,
           LineKeys{index.as<int64_t>(), checked, Divider(inner), Divider(uint32_t(length) * inner), uint32_t(size),
                    bound, sort.keys()});
  const Sorted sorted = sort.run("scatter_add");
  dispatch(Floats{}, dx.dtype, "scatter_add", [&]<class T>(Type<T>) {
    for_each(stream, "scatter_add", 1, count,
             AddElements<T>{sorted, bound, Layout<2>(walk), index.as<int64_t>(), {dx.as<T>(), dx, dim}, dy.as<T>()});
  });
}

void scatter_add_cuda(CudaStream& stream, ConstView dy, int dim, ConstView index, View dx) {
  if (index.numel() == 0) return;
  constexpr int64_t kLong = 64, kManyLines = 1 << 14;  // enough to keep a GPU busy
  const int64_t length = size_along(index.shape, dim), lines = index.numel() / length;
  const auto walk = make_walk<2>(index.shape, {with(dx.strides, dim, 0), dy.strides});
  const bool sortable = walk.small() && lines * size_along(dx.shape, dim) < INT32_MAX;
  if (length > kLong && lines < kManyLines && sortable) return add_sorted(stream, dy, dim, index, dx, walk);
  add_lines(stream, dy, dim, index, dx);
}

}  // namespace

void install_indexing() {
  index_select.cuda = index_select_cuda;
  index_add.cuda = index_add_cuda;
  gather.cuda = gather_cuda;
  scatter_add.cuda = scatter_add_cuda;
}

}  // namespace rstorch::kernels
