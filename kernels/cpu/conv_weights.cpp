#include "kernels/cpu/conv_weights.h"

#include <algorithm>

#include "kernels/cpu/pack.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/scratch.h"
#include "kernels/cpu/tile.h"

namespace rstorch::kernels {
namespace {

// Columns of the patch matrix are (tap row, tap column, channel), in this order: neighbours in a channels-last image.
struct Patches {
  ConstView x;
  ConvGeometry geometry;
  int64_t taps_down, taps_across, out_height, out_width;

  // True if the channels of neighbouring taps lie side by side in memory.
  bool rows_contiguous() const {
    const bool pixels = channels() == 1 || x.strides[1] == 1;
    return pixels && x.strides[3] == channels() && geometry.dilation[1] == 1;
  }
  int64_t channels() const { return x.shape[1]; }
  int64_t columns() const { return taps_down * taps_across * channels(); }
};

// A place among the columns, and one among the positions; both move without a division.
struct Column {
  int64_t tap_row, tap_column, channel;
  Column(const Patches& p, int64_t i)
      : tap_row(i / p.channels() / p.taps_across),
        tap_column(i / p.channels() % p.taps_across),
        channel(i % p.channels()) {}
  // To the first channel of the tap that is `taps` further on, in this row or at the beginning of the next.
  void skip_taps(const Patches& p, int64_t taps) {
    channel = 0;
    tap_column += taps;
    if (tap_column == p.taps_across) tap_column = 0, ++tap_row;
  }
  void next(const Patches& p) {
    if (++channel == p.channels()) skip_taps(p, 1);
  }
};
struct Position {
  int64_t image, row, column;
  Position(const Patches& p, int64_t i)
      : image(i / p.out_width / p.out_height), row(i / p.out_width % p.out_height), column(i % p.out_width) {}
  // `steps` further on in this row, at most to the beginning of the next.
  void advance(const Patches& p, int64_t steps) {
    column += steps;
    if (column == p.out_width) column = 0, ++row;
    if (row == p.out_height) row = 0, ++image;
  }
};

// Plain copy; the compiler would make a slow call of it.
[[gnu::always_inline]] inline void copy_run(const float* from, int64_t stride, int64_t n, float* to) {
  typedef float Vector __attribute__((vector_size(32), aligned(4), may_alias));
  int64_t i = 0;
  for (; stride == 1 && i + 8 <= n; i += 8)
    *reinterpret_cast<Vector*>(to + i) = *reinterpret_cast<const Vector*>(from + i);
  for (; i < n; ++i) to[i] = from[i * stride];
}

// `count` columns of the patch at one position, zero where it reaches outside the image.
[[gnu::always_inline]] inline void gather(const Patches& patches, const Position& at, Column column, int64_t count,
                                          float* to) {
  const auto& [stride, padding, dilation, groups] = patches.geometry;
  const ConstView& x = patches.x;
  const float* const image = x.as<float>() + at.image * x.strides[0];
  const int64_t channels = patches.channels(), across = patches.taps_across;
  const int64_t top = at.row * stride[0] - padding[0], left = at.column * stride[1] - padding[1];
  const bool whole_rows = patches.rows_contiguous() && left >= 0 && left + across <= x.shape[3];
  while (count > 0) {
    const int64_t taps = whole_rows ? across - column.tap_column : 1;
    const int64_t run = std::min(taps * channels - column.channel, count);
    const int64_t iy = top + column.tap_row * dilation[0], ix = left + column.tap_column * dilation[1];
    if (iy < 0 || ix < 0 || iy >= x.shape[2] || ix >= x.shape[3]) {
      for (int64_t i = 0; i < run; ++i) to[i] = 0;
    } else {
      const int64_t step = whole_rows ? 1 : x.strides[1];
      copy_run(image + column.channel * x.strides[1] + iy * x.strides[2] + ix * x.strides[3], step, run, to);
    }
    to += run;
    count -= run;
    column.skip_taps(patches, taps);
  }
}

// A block of the patch matrix: `depth` positions from `at`, and `count` columns from `begin`.
[[gnu::always_inline]] inline void gather_block(const Patches& patches, Position at, int64_t depth, const Column& begin,
                                                int64_t count, float* to, int64_t to_stride) {
  for (int64_t i = 0; i < depth; ++i, at.advance(patches, 1)) gather(patches, at, begin, count, to + i * to_stride);
}

// The same where a position has few columns (the first layer of most networks): column by column, for each a row of
// positions at a time.
[[gnu::always_inline]] inline void gather_narrow_block(const Patches& patches, Position at, int64_t depth,
                                                       const Column& begin, int64_t count, float* to,
                                                       int64_t to_stride) {
  const auto& [stride, padding, dilation, groups] = patches.geometry;
  const ConstView& x = patches.x;
  const int64_t step = stride[1], width = x.shape[3], x_stride = x.strides[3];
  for (int64_t i = 0; i < depth;) {
    const int64_t n = std::min(depth - i, patches.out_width - at.column);
    Column column = begin;
    for (int64_t c = 0; c < count; ++c, column.next(patches)) {
      const int64_t iy = at.row * stride[0] - padding[0] + column.tap_row * dilation[0];
      const int64_t ix = at.column * step - padding[1] + column.tap_column * dilation[1];
      const bool inside = iy >= 0 && iy < x.shape[2];
      const float* const row =
          x.as<float>() + at.image * x.strides[0] + column.channel * x.strides[1] + (inside ? iy : 0) * x.strides[2];
      float* const out = to + i * to_stride + c;
      for (int64_t j = 0; j < n; ++j) {
        const int64_t at_x = ix + j * step;
        out[j * to_stride] = inside && at_x >= 0 && at_x < width ? row[at_x * x_stride] : 0.0f;
      }
    }
    i += n;
    at.advance(patches, n);
  }
}

// Positions whose patches are gathered at a time, and the columns that one task has of them.
constexpr int64_t kPositions = 128;
constexpr int64_t kColumns = 320;

// How the work is cut: by columns and, where these are few, by images. It depends on the shapes only, and so do the
// bits.
struct Cut {
  int64_t panels, chunks, width;  // width: columns of a panel, a multiple of every tile's

  Cut(int64_t columns, int64_t batch) {
    constexpr int64_t tasks = 32, widest_tile = 32;
    panels = divide_up(columns, kColumns);
    width = divide_up(divide_up(columns, panels), widest_tile) * widest_tile;
    panels = divide_up(columns, width);
    chunks = std::clamp<int64_t>(tasks / panels, 1, batch);
  }
};

// One task's share, and its buffers.
struct Task {
  int64_t first, last;        // positions
  int64_t begin, end;         // columns
  float *patches, *dy, *sum;  // blocks of patches and of dy, packed; sum [out channels, width]
  int64_t patch_stride, width;
};

// sum[o, column] = sum over positions of dy[position, o] patch[position, begin + column].
template <Isa isa>
[[gnu::always_inline]] inline void multiply_patches(const Patches& patches, const float* dy, int64_t out_channels,
                                                    const Task& task) {
  using TileT = Tile<float, isa>;
  constexpr int64_t narrow = 8;
  const Column begin(patches, task.begin);
  const bool few = patches.channels() * patches.taps_across < narrow;
  for (int64_t block = task.first; block < task.last; block += kPositions) {
    const int64_t depth = std::min(kPositions, task.last - block);
    const Position at(patches, block);
    if (few) {
      gather_narrow_block(patches, at, depth, begin, task.end - task.begin, task.patches, task.patch_stride);
    } else {
      gather_block(patches, at, depth, begin, task.end - task.begin, task.patches, task.patch_stride);
    }
    pack<TileT::rows>(Matrix<const float>{dy + block * out_channels, out_channels, depth, 1, out_channels}, task.dy);
    for (int64_t column = 0; column < task.end - task.begin; column += TileT::columns) {
      for (int64_t o = 0; o < out_channels; o += TileT::rows) {
        const Terms<float> terms{task.dy + o * depth, TileT::rows, task.patches + column, task.patch_stride, depth};
        multiply_rows<TileT>(std::min<int64_t>(TileT::rows, out_channels - o), terms,
                             task.sum + o * task.width + column, task.width, block == task.first);
      }
    }
  }
}

template <Isa isa>
void gradient(const CpuStream& stream, const Patches& patches, const ConstView& dy, float* dw) {
  const int64_t columns = patches.columns(), out_channels = dy.shape[1], channels = patches.channels();
  const int64_t batch = dy.shape[0], positions = patches.out_height * patches.out_width;
  const Cut cut(columns, batch);
  const int64_t size = out_channels * cut.width;  // of one task's sum
  const Scratch<float> sums(stream, cut.panels * cut.chunks * size);
  parallel_tasks(cut.panels * cut.chunks, batch * positions * size / (8 * cut.chunks), [&](int64_t from, int64_t to) {
    const int64_t stride = cut.width + 16;  // not a power of two, which would crowd a few sets of the cache
    const Scratch<float> gathered(stream, kPositions * stride);
    const Scratch<float> packed(stream, packed_size(out_channels, kPositions, Tile<float, isa>::rows));
    std::fill_n(gathered.data(), kPositions * stride, 0.0f);  // also the columns that no panel has
    for (int64_t i = from; i < to; ++i) {
      const int64_t panel = i / cut.chunks, chunk = i % cut.chunks, begin = panel * cut.width;
      const Task task{batch * chunk / cut.chunks * positions,
                      batch * (chunk + 1) / cut.chunks * positions,
                      begin,
                      std::min(columns, begin + cut.width),
                      gathered.data(),
                      packed.data(),
                      sums.data() + i * size,
                      stride,
                      cut.width};
      run_as<isa>([&] { multiply_patches<isa>(patches, dy.as<float>(), out_channels, task); });
    }
  });
  const int64_t taps = columns / channels;
  parallel_tasks(out_channels, columns * cut.chunks, [&](int64_t from, int64_t to) {
    for (int64_t o = from; o < to; ++o) {
      Column column(patches, 0);
      for (int64_t i = 0; i < columns; ++i) {
        const float* const sum = sums.data() + i / cut.width * cut.chunks * size + o * cut.width + i % cut.width;
        float total = sum[0];
        for (int64_t chunk = 1; chunk < cut.chunks; ++chunk) total += sum[chunk * size];
        dw[(o * channels + column.channel) * taps + column.tap_row * patches.taps_across + column.tap_column] = total;
        column.next(patches);
      }
    }
  });
}

}  // namespace

void weights_gradient(const CpuStream& stream, const ConstView& x, const ConstView& dy, const ConvGeometry& geometry,
                      const View& dw) {
  const Patches patches{x, geometry, dw.shape[2], dw.shape[3], dy.shape[2], dy.shape[3]};
  specialised([&]<Isa isa> { gradient<isa>(stream, patches, dy, dw.as<float>()); });
}

}  // namespace rstorch::kernels
