// The entry of rstorch_cuda.so.
#include "kernels/cuda/module.h"

#include "base/version.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/install.h"
#include "kernels/cuda/open_nccl.h"

namespace rstorch::kernels {
namespace {

void install() {
  install_unary();
  install_unary_backward();
  install_binary();
  install_binary_backward();
  install_copy();
  install_where();
  install_random();
  install_matmul();
  install_linear();
  install_conv();
  install_softmax();
  install_attention();
  install_sum();
  install_extreme();
  install_loss();
  install_batch_norm();
  install_layer_norm();
  install_optim();
  install_pool();
  install_dropout();
  install_indexing();
}

constexpr CudaModule table = {kVersion,
                              install,
                              cuda_device_count,
                              make_cuda_stream,
                              describe_cuda_device,
                              cuda_bus_id,
                              cuda_pinned_memory,
                              make_cuda_copy_stream,
                              open_nccl};

}  // namespace
}  // namespace rstorch::kernels

extern "C" const rstorch::CudaModule* rstorch_cuda_module();
extern "C" const rstorch::CudaModule* rstorch_cuda_module() { return &rstorch::kernels::table; }
