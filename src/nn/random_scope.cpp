#include "nn/random_scope.h"

#include "nn/dropout.h"
#include "tensor/generator.h"

namespace rstorch::nn {
namespace {

thread_local RandomScope* current_scope = nullptr;

// A layer number takes the low bits of a key's layer, the number of the call the high ones.
constexpr uint32_t kCallShift = 20;

}  // namespace

RandomScope::RandomScope(const Settings& settings) : settings_(settings), previous_(current_scope) {
  current_scope = this;
}
RandomScope::~RandomScope() { current_scope = previous_; }

RandomKey RandomScope::dropout_key(uint32_t layer) {
  if (!current_scope) return next_random_key();
  if (current_scope->calls_.size() <= layer) current_scope->calls_.resize(layer + 1);
  const uint32_t call = current_scope->calls_[layer]++;
  const Settings& settings = current_scope->settings_;
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
