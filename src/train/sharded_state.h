// Optimizer state of which each rank has its share (ZeRO stage 1, Rajbhandari et al. 2020), for checkpoints: they hold
// that of one optimizer of the whole arena, so that any number of ranks goes on from it.
//
// All ranks call these together. The arena's gradients are overwritten: between steps they are free, and the shares of
// a block are put together there. So no rank needs other memory for it than rank 0, for what it reads or writes.
#pragma once

#include <memory>

#include "dist/process_group.h"
#include "optim/optimizers.h"
#include "optim/parameter_arena.h"

namespace rstorch {

// For rank 0: an optimizer of the whole arena, with state of zeros in the host's memory. It is not made to step.
std::unique_ptr<optim::Optimizer> make_whole(const optim::OptimizerSpec& spec, const optim::ParameterArena& arena);

// `whole` is null on the other ranks. `share`: of arena.flat_groups().
void gather_state(optim::Optimizer& share, optim::Optimizer* whole, const optim::ParameterArena& arena,
                  dist::ProcessGroup& group);
void scatter_state(optim::Optimizer* whole, optim::Optimizer& share, const optim::ParameterArena& arena,
                   dist::ProcessGroup& group);

}  // namespace rstorch
