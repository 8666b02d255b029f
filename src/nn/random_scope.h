// Which random numbers a forward pass draws.
//
// The trainer opens a scope around each (micro-)batch: dropout masks then depend on seed, step, layer and global sample
// index only, never on rank, thread or call order. Without a scope the default generator is used (manual_seed).
#pragma once

#include <cstdint>
#include <vector>

#include "base/random_key.h"

namespace rstorch::nn {

class Module;

class RandomScope {
 public:
  struct Settings {
    uint64_t seed = 0;
    uint64_t step = 0;
    uint64_t first_sample = 0;         // global index of the first sample of this batch
    const StepPlace* place = nullptr;  // added to both when kernels run
  };
  // Current on this thread until it goes out of scope; scopes nest.
  explicit RandomScope(const Settings& settings);
  ~RandomScope();
  RandomScope(const RandomScope&) = delete;
  RandomScope& operator=(const RandomScope&) = delete;

  // A key for a layer of this number. Calls of one layer within a scope get different keys.
  static RandomKey dropout_key(uint32_t layer);

 private:
  Settings settings_;
  std::vector<uint32_t> calls_;  // by layer
  RandomScope* previous_;
};

// Gives the modules that draw random numbers their layer numbers, in order. The builder does it; a module made by hand
// that runs in a RandomScope needs it once.
void number_layers(Module& module);

}  // namespace rstorch::nn
