// Tensors of a CUDA device in collectives that know the CPU's memory only: they go through pinned memory of the host.
//
//   const Tensor host = on_host(x);
//   return back_to_device(start(host), host, x);   // wait() then copies the result into x
//
// For tensors of the CPU all of this is the tensor itself and costs nothing.
#pragma once

#include "dist/process_group.h"

namespace rstorch::dist {

// Room on the host for x; nothing may be written there before the next on_host() has returned.
Tensor room_on_host(const Tensor& x);
// x's values on the host. Waits for the device.
Tensor on_host(const Tensor& x);
// The same collective, with `host` copied to x at its end.
WorkPtr back_to_device(WorkPtr work, const Tensor& host, const Tensor& x);

}  // namespace rstorch::dist
