#include "nn/random_scope.h"

#include "nn/dropout.h"
#include "tensor/generator.h"

namespace rstorch::nn {
namespace {

thread_local RandomScope* current = nullptr;

// A layer number takes the low bits of a key's layer, the number of the call the high ones.
constexpr uint32_t kCallShift = 20;

}  // namespace

RandomScope::RandomScope(const Settings& settings) : settings_(settings), previous_(current) { current = this; }
RandomScope::~RandomScope() { current = previous_; }

RandomKey RandomScope::dropout_key(uint32_t layer) {
  if (!current) return next_random_key();
  if (current->calls_.size() <= layer) current->calls_.resize(layer + 1);
  const uint32_t call = current->calls_[layer]++;
  const Settings& settings = current->settings_;
  return {.seed = settings.seed,
          .purpose = Purpose::dropout,
          .layer = layer | (call << kCallShift),
          .step = settings.step,
          .first = settings.first_sample,
          .place = settings.place};
}

void number_layers(Module& module) {
  uint32_t next = 0;
  module.apply([&next](Module& part) {
    if (auto* dropout = dynamic_cast<Dropout*>(&part)) dropout->set_layer_number(next++);
  });
}

}  // namespace rstorch::nn
