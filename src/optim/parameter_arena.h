// ParameterArena: parameters, and their gradients, in one flat buffer per group and dtype, so that the optimizer step,
// the gradient norm and an all-reduce are single calls.
//
//   optim::ParameterArena arena(spec.assign(model.named_parameters(), report));
//   auto optimizer = spec.make(arena.flat_groups());
//   loop: arena.zero_grad(); loss.backward(); arena.collect_gradients(); optimizer->step();
//
// Parameters stay the tensors they are and show the arena's memory; backward writes their gradients straight into it.
// Move the model to its device and dtype first: Module::to() would take the parameters out again. A parameter is in one
// arena at a time: ArgumentError.
//
// Layout: registration order, so that backward fills a block from its end; each parameter begins at a multiple of 64
// bytes; gaps are zero. Checkpoints do not show it (optim::named_state).
//
// Where several ranks share the work of the optimizer, each block is as long as so many equal shares, and the optimizer
// of a rank runs on its own: a slice, whose ends are anywhere in a parameter.
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
    Tensor parameters;  // 1-D
    Tensor gradients;   // 1-D
    Tensor own;         // own_share() of the parameters; its grad() is that of the gradients after collect_gradients()
    std::vector<Slot> slots;
  };
  // Number `index` of `count` equal ones.
  struct Share {
    int index = 0;
    int count = 1;
  };

  explicit ParameterArena(const std::vector<std::vector<nn::NamedTensor>>& groups) : ParameterArena(groups, Share()) {}
  ParameterArena(const std::vector<std::vector<nn::NamedTensor>>& groups, Share share);
  ~ParameterArena();
  ParameterArena(const ParameterArena&) = delete;
  ParameterArena& operator=(const ParameterArena&) = delete;

  const std::vector<Block>& blocks() const { return blocks_; }
  // What an optimizer runs on: [group] its flat tensors, one per dtype. With several shares, the own one of each.
  std::vector<std::vector<Tensor>> flat_groups() const { return by_group(&Block::own); }
  // The same of all shares.
  std::vector<std::vector<Tensor>> whole_groups() const { return by_group(&Block::parameters); }
  std::vector<Tensor> gradients() const;

  bool is_shared() const { return share_.count > 1; }
  // A slice of a tensor that is laid out as a block is.
  Tensor own_share(const Tensor& flat) const;

  // Forgets the gradients; nothing is written, since backward overwrites the first time.
  void zero_grad();
  // To be called between backward and the optimizer's step. A parameter that got no gradient gets zeros: unlike
  // PyTorch's, the optimizer then updates it with momentum and decay as any other.
  void collect_gradients();
  // The same for one parameter of an arena.
  static void collect_gradient(const Tensor& parameter);
  int64_t numel() const;  // of the parameters, without gaps

 private:
  std::vector<std::vector<Tensor>> by_group(Tensor Block::*flat) const;

  size_t group_count_ = 0;
  Share share_;
  std::vector<Block> blocks_;
};

}  // namespace rstorch::optim
