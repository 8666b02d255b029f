#include "train/sharded_state.h"

#include <cstddef>

#include "autograd/grad_mode.h"

namespace rstorch {
namespace {

using optim::Optimizer;

// Zeros in memory that goes back to the system with them: an allocator would keep it for steps that never need it.
Tensor host_zeros(int64_t count, DType dtype) {
  const auto memory = std::make_shared<std::vector<std::byte>>(size_t(count) * size_of(dtype));
  return Tensor::wrap(memory->data(), {count}, dtype, memory);
}

// Slots of both by block: f(block, share's slot, whole's slot or null).
template <class F>
void for_each_block(Optimizer& share, Optimizer* whole, const optim::ParameterArena& arena, F&& f) {
  size_t block = 0;
  std::vector<Optimizer::Group>& groups = share.groups_with_state();
  for (size_t g = 0; g < groups.size(); ++g) {
    for (size_t s = 0; s < groups[g].slots.size(); ++s) {
      f(arena.blocks()[block++], groups[g].slots[s], whole ? &whole->groups()[g].slots[s] : nullptr);
    }
  }
}

}  // namespace

std::unique_ptr<Optimizer> make_whole(const optim::OptimizerSpec& spec, const optim::ParameterArena& arena) {
  auto whole = spec.make(arena.whole_groups());
  for (Optimizer::Group& group : whole->groups()) {
    for (Optimizer::Slot& slot : group.slots) {
      for (size_t i = 0; i < group.state_names.size(); ++i) {
        slot.state.push_back(host_zeros(slot.parameter.numel(), slot.parameter.dtype()));
      }
    }
  }
  return whole;
}

void gather_state(Optimizer& share, Optimizer* whole, const optim::ParameterArena& arena, dist::ProcessGroup& group) {
  const NoGrad no_grad;
  for_each_block(share, whole, arena, [&](const auto& block, Optimizer::Slot& mine, Optimizer::Slot* all) {
    for (size_t i = 0; i < mine.state.size(); ++i) {
      arena.own_share(block.gradients).copy_(mine.state[i]);
      group.start_all_gather_in_place(block.gradients, "optimizer state")->wait();
      if (all) all->state[i].copy_(block.gradients);
    }
    if (all) all->steps = mine.steps;
  });
}

void scatter_state(Optimizer* whole, Optimizer& share, const optim::ParameterArena& arena, dist::ProcessGroup& group) {
  const NoGrad no_grad;
  for_each_block(share, whole, arena, [&](const auto& block, Optimizer::Slot& mine, Optimizer::Slot* all) {
    for (size_t i = 0; i < mine.state.size(); ++i) {
      if (all) Tensor(block.gradients).copy_(all->state[i]);
      group.broadcast(block.gradients, "optimizer state");
      mine.state[i].copy_(arena.own_share(block.gradients));
    }
    const Tensor steps = Tensor::scalar(all ? all->steps : 0, {.dtype = DType::i64});
    group.broadcast(steps, "optimizer state");
    mine.steps = steps.item<int64_t>();
  });
}

}  // namespace rstorch
