// Names a stream of random numbers.
//
// Philox4x32-10 (Salmon et al. 2011) turns (key, counter) into numbers, so a draw depends on what it is for and on nothing
// else: not on rank, thread or call order. The key is (seed, purpose, layer); the counter is (step, global element).
#pragma once

#include <cstdint>

namespace rstorch {

enum class Purpose : uint32_t { generator, init, dropout, shuffle, augment, split, data };

// Where a step is in the run, in memory that kernels read when they run: what a captured step draws stays current.
struct StepPlace {
  uint64_t step = 0;
  uint64_t first_sample = 0;  // global index of the first sample of the batch, or of its part
};

struct RandomKey {
  uint64_t seed = 0;
  Purpose purpose = Purpose::generator;
  uint32_t layer = 0;             // which layer or call of this purpose
  uint64_t step = 0;              // training step, or number of the call
  uint64_t first = 0;             // global index of element 0: a rank's share of a batch starts further on
  // If set, added when the kernel runs: place->step to `step`, place->first_sample times sample_size to `first`.
  const StepPlace* place = nullptr;
  uint64_t sample_size = 0;
};

}  // namespace rstorch
