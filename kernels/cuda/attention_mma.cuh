// Tiles of attention scores for halves, on tensor cores. As PlainTiles (attention_tiles.cuh) but for some sizes only.
#pragma once

#include "kernels/cuda/attention_tiles.cuh"
#include "kernels/cuda/mma.cuh"

namespace rstorch::kernels {

// Of matrices with `Size` features, whose lines begin at multiples of 16 bytes. A warp has 16 rows.
template <class T, int Size, int Columns, int Width>
class TensorTiles {
 public:
  using C = float;
  static constexpr int kRows = 16 * int(kBlock / kWarp), kColumns = Columns, kWidth = Width;
  static constexpr unsigned kLanesOfRow = 4;
  static constexpr int kOwnRows = 2, kOwnColumns = kColumns / 4, kOwnWidth = kWidth / 4;
  static_assert(Size % 32 == 0 && kColumns % 16 == 0 && kWidth % 16 == 0);

  using Scores = float[kOwnRows][kOwnColumns];
  using Output = float[kOwnRows][kOwnWidth];
  struct Held {
    LeftFragment fragments[Size / 16];
  };
  using Tile = const T*;  // in shared memory
  struct Brought {
    Tile a, b;
  };

  struct alignas(16) Shared {
    // Bits of T, which as a class with a constructor cannot be here. 8 more: a fragment's rows are in different banks.
    uint16_t lines[2][2][kColumns][Size + 8];
  };

  __device__ explicit TensorTiles(Shared& shared) : shared_(shared) {}

  __device__ static int row(int r) { return int(threadIdx.x / kWarp) * 16 + int(threadIdx.x % kWarp / 4) + 8 * r; }
  __device__ static int column(int c) { return c / 2 * 8 + int(threadIdx.x % 4) * 2 + c % 2; }
  __device__ static int output_column(int c) { return column(c); }

  __device__ Held hold(const Lines<T>& rows) const {
    Held held;
    for (int k = 0; k < Size / 16; ++k) {
      for (int i = 0; i < 4; ++i) {
        const int line = row(i % 2), at = k * 16 + i / 2 * 8 + int(threadIdx.x % 4) * 2;
        Pack<T, 2> pair{};
        if (line < rows.count) pair = read_pack<2>(rows.data + line * rows.stride + at);
        held.fragments[k].pairs[i] = uint32_t(pair.values[0].bits) | uint32_t(pair.values[1].bits) << 16;
      }
    }
    return held;
  }
  // While a tile is computed with, the next ones are on their way into the other half of the memory.
  __device__ void start(const Lines<T>& a, const Lines<T>& b) {
    bring(0, a);
    bring(1, b);
  }
  __device__ Brought next(const Lines<T>& a, const Lines<T>& b) {
    wait_for_copies();
    __syncthreads();  // all have their copies, and have read the tiles that will be overwritten
    const Brought now{lines(0), lines(1)};
    turn_ ^= 1;
    if (a.count > 0) start(a, b);
    return now;
  }
  __device__ static float exp(float x) { return fast_exp(x); }

  __device__ void multiply(Scores& scores, const Held& rows, Tile columns) {
    for (int n = 0; n < kColumns / 8; ++n) {
      ResultFragment sum{};
      for (int k = 0; k < Size / 32; ++k) {
        const RightFragments b = load_rows(columns + n * 8 * kStride + k * 32, kStride);
        multiply_add<T>(sum, rows.fragments[2 * k], b.first);
        multiply_add<T>(sum, rows.fragments[2 * k + 1], b.second);
      }
      for (int i = 0; i < 4; ++i) scores[i / 2][2 * n + i % 2] = sum.values[i];
    }
  }
  __device__ void accumulate(Output& output, const Scores& scores, Tile lines, int64_t first) {
    for (int k = 0; k < kColumns / 16; ++k) {
      LeftFragment a;
      for (int i = 0; i < 4; ++i) {
        const float* const s = scores[i % 2] + 4 * k + i / 2 * 2;
        a.pairs[i] = pair_of<T>(s[0], s[1]);
      }
      for (int n = 0; n < kWidth / 16; ++n) {
        const RightFragments b = load_columns(lines + k * 16 * kStride + first + n * 16, kStride);
        add(output, 2 * n, a, b.first);
        add(output, 2 * n + 1, a, b.second);
      }
    }
  }

 private:
  static constexpr int kStride = Size + 8;

  __device__ T* lines(int slot) const { return reinterpret_cast<T*>(shared_.lines[turn_][slot]); }
  __device__ void bring(int slot, const Lines<T>& from) const {
    constexpr int kPacks = Size / kPack<T>;
    for (int i = int(threadIdx.x); i < kColumns * kPacks; i += int(kBlock)) {
      const int line = i / kPacks, at = i % kPacks * kPack<T>;
      const bool exists = line < from.count;
      copy_16_bytes(lines(slot) + line * kStride + at, from.data + (exists ? line * from.stride + at : 0), exists);
    }
  }
  // Columns 8 n to 8 n + 7 of the output.
  __device__ static void add(Output& output, int n, const LeftFragment& a, const RightFragment& b) {
    ResultFragment sum{{output[0][2 * n], output[0][2 * n + 1], output[1][2 * n], output[1][2 * n + 1]}};
    multiply_add<T>(sum, a, b);
    for (int i = 0; i < 4; ++i) output[i / 2][2 * n + i % 2] = sum.values[i];
  }

  Shared& shared_;
  int turn_ = 0;
};

}  // namespace rstorch::kernels
