// What batch normalisation asks of the other ranks where a batch is spread over several. Whoever has a process group
// makes one of it; ops and nn know no groups.
//
// Each rank makes the same calls in the same order, whatever its share of the batch, none included: one gather() in
// each forward pass in training, one sum() in its backward pass. Tensors are contiguous f64, on the device of the
// batch. Calls come from the thread that runs the pass; errors pass through it.
#pragma once

#include "tensor/tensor.h"

namespace rstorch {

class BatchPeers {
 public:
  virtual ~BatchPeers() = default;
  // The tensors of all ranks, which have one shape, as rows: [ranks, ...] in the order of ranks. The same bits on each.
  virtual Tensor gather(const Tensor& mine) = 0;
  // Puts the sum over all ranks in the place of x. The same bits on each.
  virtual void sum(const Tensor& x) = 0;
};

}  // namespace rstorch
