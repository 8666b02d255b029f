#include "train/sharded_state.h"

#include <cstddef>

#include "autograd/grad_mode.h"

namespace rstorch {
namespace {

using optim::Optimizer;
using optim::ParameterArena;

// In memory that goes back to the system with the tensor: an allocator would keep it for steps, which never need it.
Tensor host_zeros(int64_t count, DType dtype) {
  const auto memory = std::make_shared<std::vector<std::byte>>(size_t(count) * size_of(dtype));
  return Tensor::wrap(memory->data(), {count}, dtype, memory);
}

// One for each block, in their order.
std::vector<Optimizer::Slot*> slots_of(std::vector<Optimizer::Group>& groups) {
  std::vector<Optimizer::Slot*> out;
  for (Optimizer::Group& group : groups) {
    for (Optimizer::Slot& slot : group.slots) out.push_back(&slot);
  }
  return out;
}

void copy_unless_same(Tensor to, const Tensor& from) {
  if (!to.is_same(from)) to.copy_(from);
}

}  // namespace

std::unique_ptr<Optimizer> make_whole(const optim::OptimizerSpec& spec, const ParameterArena& arena) {
  auto whole = spec.make(arena.whole_groups());
  auto block = arena.blocks().begin();
  for (Optimizer::Group& group : whole->groups()) {
    for (Optimizer::Slot& slot : group.slots) {
      const Tensor& gradients = (block++)->gradients;
      for (size_t i = 0; i < group.state_names.size(); ++i) {
        const bool is_last = i + 1 == group.state_names.size();
        slot.state.push_back(is_last ? gradients : host_zeros(gradients.numel(), gradients.dtype()));
      }
    }
  }
  return whole;
}

void gather_state(Optimizer& share, Optimizer* whole, const ParameterArena& arena, dist::ProcessGroup& group) {
  const NoGrad no_grad;
  const auto own = slots_of(share.groups_with_state());
  const auto all = whole ? slots_of(whole->groups()) : std::vector<Optimizer::Slot*>();
  for (size_t b = 0; b < own.size(); ++b) {
    const Tensor& together = arena.blocks()[b].gradients;
    for (size_t i = 0; i < own[b]->state.size(); ++i) {
      arena.own_share(together).copy_(own[b]->state[i]);
      group.start_all_gather_in_place(together, "optimizer state")->wait();
      if (whole) copy_unless_same(all[b]->state[i], together);
    }
    if (whole) all[b]->steps = own[b]->steps;
  }
}

void scatter_state(Optimizer* whole, Optimizer& share, const ParameterArena& arena, dist::ProcessGroup& group) {
  const NoGrad no_grad;
  const auto own = slots_of(share.groups_with_state());
  const auto all = whole ? slots_of(whole->groups()) : std::vector<Optimizer::Slot*>();
  for (size_t b = 0; b < own.size(); ++b) {
    const Tensor& together = arena.blocks()[b].gradients;
    for (size_t i = own[b]->state.size(); i-- > 0;) {  // the last is there already
      if (whole) copy_unless_same(together, all[b]->state[i]);
      group.broadcast(together, "optimizer state");
      own[b]->state[i].copy_(arena.own_share(together));
    }
    const Tensor steps = Tensor::scalar(whole ? all[b]->steps : 0, {.dtype = DType::i64});
    group.broadcast(steps, "optimizer state");
    own[b]->steps = steps.item<int64_t>();
  }
}

}  // namespace rstorch
