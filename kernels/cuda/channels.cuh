// The engine of kernels that treat each channel of an image alike: y = f(factors of the channel, x...).
#pragma once

#include <algorithm>

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/pack.cuh"
#include "kernels/cuda/walk.h"
#include "kernels/element.h"
#include "kernels/kernel.h"

namespace rstorch::kernels {

// How x [batch, channels, ...] lies in memory: `outer` times `channels` times `inner`; inner is 1 for channels-last.
struct Channels {
  int64_t outer, channels, inner = 1;

  explicit Channels(const ConstView& x) : channels(x.size(1)) {
    for (int i = 2; i < x.dims(); ++i) inner *= x.shape[i];
    outer = x.size(0);
    if (x.contiguous()) return;
    outer *= inner;
    inner = 1;
  }
};

namespace detail {

// V elements a thread, all of one channel or, with neighbours, of V neighbouring ones.
template <bool neighbours, int V, class F, class T, class... X>
__global__ void map_channels(F f, Divider inner, Divider channels, uint32_t packs, T* y, const X*... x) {
  const uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= packs) return;
  const uint32_t first = i * V;
  const uint32_t channel = channels.divide(inner.divide(first).quotient).remainder;
  const auto apply = [&](const auto&... in) {
    Pack<Compute<T>, V> out;
    auto factors = f.of(channel);
    for (int j = 0; j < V; ++j) {
      if (neighbours && j > 0) factors = f.of(channel + uint32_t(j));
      out.values[j] = f(factors, in.values[j]...);
    }
    write_pack(y + first, convert_pack<T>(out));
  };
  apply(convert_pack<Compute<X>>(read_pack<V>(x + first))...);
}

}  // namespace detail

// y = f(f.of(channel), x...) for every element; y and x lie as `at` says. `name` is for errors.
template <class F, class T, class... X>
void map_channels(CudaStream& stream, std::string_view name, const F& f, const Channels& at, T* y, const X*... x) {
  constexpr int64_t kMost = int64_t(1) << 30;  // elements of a launch
  const int64_t slice = at.channels * at.inner;
  if (slice == 0) return;
  if (slice > kMost) throw ShapeError(format("{}: {} elements of one image are too many for cuda", name, slice));
  const auto run = [&]<bool neighbours, int V>() {
    for (int64_t first = 0; first < at.outer; first += kMost / slice) {
      const auto packs = uint32_t(std::min(kMost / slice, at.outer - first) * slice / V);
      launch(stream, name, packs, detail::map_channels<neighbours, V, F, T, X...>, f, Divider(uint32_t(at.inner)),
             Divider(uint32_t(at.channels)), packs, y + first * slice, (x + first * slice)...);
    }
  };
  constexpr int V = kPack<T>;
  const bool neighbours = at.inner == 1;
  const bool in_packs = (neighbours ? at.channels : at.inner) % V == 0 && aligned(y, 16) && (aligned(x, 16) && ...);
  if (!in_packs) return run.template operator()<false, 1>();
  if (neighbours) return run.template operator()<true, V>();
  run.template operator()<false, V>();
}

}  // namespace rstorch::kernels
