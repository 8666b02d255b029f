#include "tensor/generator.h"

#include <atomic>

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

}  // namespace rstorch
