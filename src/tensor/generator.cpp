#include "tensor/generator.h"

#include <atomic>

#include "kernels/random.h"
#include "tensor/runtime.h"

namespace rstorch {
namespace {

std::atomic<uint64_t> seed{0};
std::atomic<uint64_t> calls{0};

}  // namespace

void manual_seed(uint64_t value) {
  seed = value;
  calls = 0;
}

RandomKey next_random_key() { return {.seed = seed, .purpose = Purpose::generator, .step = calls.fetch_add(1)}; }

void fill_uniform(const Tensor& x, const RandomKey& key, double low, double high) {
  kernels::random_uniform(current_stream(x.device()), key, low, high, x.mutable_view());
}

void fill_normal(const Tensor& x, const RandomKey& key, double mean, double std) {
  kernels::random_normal(current_stream(x.device()), key, mean, std, x.mutable_view());
}

}  // namespace rstorch
