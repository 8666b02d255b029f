// A radix sort, 8 bits at a time from the lowest. A pass keeps the order of equal digits: a block has a tile of
// neighbouring elements, a warp of it a part, of which it takes 32 at once; each element goes behind those with its
// digit in earlier tiles, warps and lanes. All counts are of integers, so the order in which they are added is no
// matter.
#include <bit>
#include <utility>

#include "kernels/cuda/each.cuh"
#include "kernels/cuda/sort.h"

namespace rstorch::kernels {
namespace {

constexpr unsigned kDigits = kBlock;  // thread d adds up digit d
constexpr unsigned kDigitBits = 8;
constexpr unsigned kWarps = kBlock / kWarp;
constexpr uint32_t kPart = 8 * kWarp;  // elements of a warp
constexpr uint32_t kTile = kWarps * kPart;
constexpr uint32_t kSmall = 1024;  // elements that are not worth a radix sort
static_assert(kDigits == 1u << kDigitBits);

__device__ unsigned digit_of(uint32_t key, unsigned shift) { return (key >> shift) % kDigits; }

// counts[tile * kDigits + d]: keys of the tile with the digit d.
__global__ void count_digits(const uint32_t* keys, uint32_t count, unsigned shift, uint32_t* counts) {
  __shared__ unsigned found[kDigits];
  found[threadIdx.x] = 0;
  __syncthreads();
  const uint32_t begin = blockIdx.x * kTile, end = min(begin + kTile, count);
  for (uint32_t i = begin + threadIdx.x; i < end; i += kBlock) atomicAdd(&found[digit_of(keys[i], shift)], 1u);
  __syncthreads();
  counts[blockIdx.x * kDigits + threadIdx.x] = found[threadIdx.x];
}

// The sum of the values of all threads before this one.
__device__ uint32_t sum_before(uint32_t value) {
  __shared__ uint32_t sums[kBlock];
  const unsigned thread = threadIdx.x;
  sums[thread] = value;
  for (unsigned step = 1; step < kBlock; step *= 2) {
    __syncthreads();
    const uint32_t other = thread >= step ? sums[thread - step] : 0;
    __syncthreads();
    sums[thread] += other;
  }
  return sums[thread] - value;
}

// Where the first element of this tile with digit threadIdx.x goes.
__device__ uint32_t tile_start(const uint32_t* counts) {
  uint32_t before = 0, all = 0;
  for (uint32_t tile = 0; tile < gridDim.x; ++tile) {
    const uint32_t found = counts[tile * kDigits + threadIdx.x];
    before += tile < blockIdx.x ? found : 0;
    all += found;
  }
  return sum_before(all) + before;
}

// elements: null where element i is the i-th.
__global__ void reorder(const uint32_t* keys, const uint32_t* elements, uint32_t count, unsigned shift,
                        const uint32_t* counts, uint32_t* keys_out, uint32_t* elements_out) {
  __shared__ unsigned next[kWarps][kDigits];  // where a warp's next element with a digit goes
  const unsigned warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  const uint32_t first = blockIdx.x * kTile + warp * kPart + lane;
  for (unsigned w = 0; w < kWarps; ++w) next[w][threadIdx.x] = 0;
  uint32_t start = tile_start(counts);
  __syncthreads();
  for (uint32_t i = first; i < first + kPart; i += kWarp) {
    if (i < count) atomicAdd(&next[warp][digit_of(keys[i], shift)], 1u);
  }
  __syncthreads();
  for (unsigned w = 0; w < kWarps; ++w) start += std::exchange(next[w][threadIdx.x], start);
  __syncthreads();
  for (uint32_t i = first; i < first + kPart; i += kWarp) {
    const uint32_t key = i < count ? keys[i] : 0;
    const unsigned digit = i < count ? digit_of(key, shift) : kDigits;
    const unsigned equal = __match_any_sync(0xffffffff, digit), before = equal & ((1u << lane) - 1);
    const uint32_t to = i < count ? next[warp][digit] + unsigned(__popc(before)) : 0;
    __syncwarp();
    if (i < count && before == 0) next[warp][digit] += unsigned(__popc(equal));
    __syncwarp();
    if (i >= count) continue;
    keys_out[to] = key;
    elements_out[to] = elements ? elements[i] : i;
  }
}

// Counts the keys that go before.
struct ReorderSmall {
  const uint32_t* keys;
  uint32_t count;
  uint32_t* keys_out;
  uint32_t* elements_out;

  __device__ void operator()(int64_t, uint32_t i) const {
    const uint32_t key = keys[i];
    uint32_t to = 0;
    for (uint32_t j = 0; j < count; ++j) to += keys[j] < key || (keys[j] == key && j < i);
    keys_out[to] = key;
    elements_out[to] = i;
  }
};

}  // namespace

Sort::Sort(CudaStream& stream, int64_t count, int64_t bound)
    : stream_(stream),
      count_(uint32_t(count)),
      tiles_((count_ + kTile - 1) / kTile),
      bits_(uint32_t(std::bit_width(uint32_t(bound - 1)))) {
  const size_t words = size_t(count_) * 4 + size_t(tiles_) * kDigits;
  keys_ = static_cast<uint32_t*>(stream.workspace(words * sizeof(uint32_t)));
}

Sorted Sort::run_small(const char* name) const {
  uint32_t *const keys = keys_ + count_, *const elements = keys + count_;
  for_each(stream_, name, 1, count_, ReorderSmall{keys_, count_, keys, elements});
  return {keys, elements, count_};
}

Sorted Sort::run(const char* name) const {
  if (count_ <= kSmall) return run_small(name);
  const size_t count = count_;
  uint32_t *keys = keys_, *keys_out = keys + count;
  uint32_t *elements = nullptr, *elements_out = keys_out + count, *const spare = elements_out + count;
  uint32_t* const counts = spare + count;
  for (unsigned shift = 0; shift == 0 || shift < bits_; shift += kDigitBits) {
    launch_blocks(stream_, name, tiles_, count_digits, keys, count_, shift, counts);
    launch_blocks(stream_, name, tiles_, reorder, keys, elements, count_, shift, counts, keys_out, elements_out);
    std::swap(keys, keys_out);
    elements = std::exchange(elements_out, elements ? elements : spare);
  }
  return {keys, elements, count_};
}

}  // namespace rstorch::kernels
