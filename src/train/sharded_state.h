// Optimizer state of which each rank has its share (ZeRO stage 1, Rajbhandari et al. 2020), for checkpoints: they hold
// that of one optimizer of the whole arena, so that any number of ranks goes on from it.
//
// All of it happens between steps, when the arena's gradients are free: the shares of a block are put together in their
// memory. So only rank 0 needs more, and no more than an optimizer that is not sharded has anyway.
#pragma once

#include <memory>

#include "dist/process_group.h"
#include "optim/optimizers.h"
#include "optim/parameter_arena.h"

namespace rstorch {

// For rank 0: an optimizer of the whole arena that never steps, to be filled by gather_state or load_named_state. It
// has its state until the next step of the others: the last tensor of each slot is the gradients themselves.
std::unique_ptr<optim::Optimizer> make_whole(const optim::OptimizerSpec& spec, const optim::ParameterArena& arena);

// All ranks call these together. `share`: of arena.flat_groups(). `whole`: null on all but rank 0.
void gather_state(optim::Optimizer& share, optim::Optimizer* whole, const optim::ParameterArena& arena,
                  dist::ProcessGroup& group);
void scatter_state(optim::Optimizer* whole, optim::Optimizer& share, const optim::ParameterArena& arena,
                   dist::ProcessGroup& group);

}  // namespace rstorch
