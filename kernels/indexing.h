// Kernels that read or write at indices. `index` is i64 and contiguous; an index outside the tensor is an ArgumentError
// that names it. Sums are taken in the order of the index; those of halves are rounded after each addition, or, on CUDA
// where it sorts, once.
#pragma once

#include "kernels/kernel.h"

namespace rstorch::kernels {

// y[o, i, r] = x[o, index[i], r]. All contiguous: x [outer, size, inner], index [count], y [outer, count, inner].
extern Kernel<ConstView /*x*/, ConstView /*index*/, View /*y*/> index_select;
// dx[o, index[i], r] += dy[o, i, r], in the order of i. Contiguous, as above; floating. The caller sets dx before.
extern Kernel<ConstView /*dy*/, ConstView /*index*/, View /*dx*/> index_add;

// y[.., i, ..] = x[.., index[.., i, ..], ..] along `dim`. index and y have one shape, at most x's outside `dim`.
extern Kernel<ConstView /*x*/, int /*dim*/, ConstView /*index*/, View /*y*/> gather;
// dx[.., index[.., i, ..], ..] += dy[.., i, ..], in the order of i. Floating. The caller sets dx before.
extern Kernel<ConstView /*dy*/, int /*dim*/, ConstView /*index*/, View /*dx*/> scatter_add;

}  // namespace rstorch::kernels
