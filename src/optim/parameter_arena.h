// ParameterArena: parameters, and their gradients, in one flat buffer per group and dtype, so that the optimizer step,
// the gradient norm and an all-reduce are single calls.
//
//   optim::ParameterArena arena(spec.assign(model.named_parameters(), report));
//   auto optimizer = spec.make(arena.flat_groups());
//   loop: arena.zero_grad(); loss.backward(); arena.collect_gradients(); optimizer->step();
//
// Parameters stay the tensors they are and show the arena's memory; backward writes their gradients straight into it.
// Move the model to its device and dtype first: Module::to() would take the parameters out again.
//
// Layout: registration order, so that backward fills a block from its end; each parameter begins at a multiple of 64
// bytes; gaps are zero. Checkpoints do not show it (optim::named_state).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "nn/module.h"

namespace rstorch::optim {

class ParameterArena {
 public:
  struct Slot {
    std::string name;
    Tensor parameter;
    int64_t offset = 0;  // in the block's flat tensors, in elements
  };
  // One group and dtype.
  struct Block {
    size_t group = 0;
    Tensor parameters;  // 1-D; its grad() is `gradients` after collect_gradients()
    Tensor gradients;   // 1-D
    std::vector<Slot> slots;
  };

  explicit ParameterArena(const std::vector<std::vector<nn::NamedTensor>>& groups);
  ParameterArena(const ParameterArena&) = delete;
  ParameterArena& operator=(const ParameterArena&) = delete;

  const std::vector<Block>& blocks() const { return blocks_; }
  // What an optimizer runs on: [group] its flat tensors, one per dtype.
  std::vector<std::vector<Tensor>> flat_groups() const;
  std::vector<Tensor> gradients() const;

  // Forgets the gradients; nothing is written, since backward overwrites the first time.
  void zero_grad();
  // To be called between backward and the optimizer's step. A parameter that got no gradient gets zeros: unlike PyTorch
  // on one process, and like its DistributedDataParallel, the optimizer then updates it with momentum and decay as any
  // other.
  void collect_gradients();
  int64_t numel() const;  // of the parameters, without gaps

 private:
  size_t group_count_ = 0;
  std::vector<Block> blocks_;
};

}  // namespace rstorch::optim
