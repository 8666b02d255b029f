// NCCL itself, with one rank: it connects, sums, sends and ends. Where there is a GPU and NCCL; elsewhere nothing.
#include <doctest/doctest.h>

#include "dist/device_link.h"
#include "dist/thread_group.h"
#include "ops/ops.h"
#include "tensor/runtime.h"

using namespace rstorch;

TEST_CASE("NCCL of one rank leaves its tensors as they are") {
  std::string why;
  if (cuda::nccl(why) == nullptr) {
    MESSAGE(why);
    return;
  }
  dist::run_ranks(1, [](dist::ProcessGroup& group) {
    dist::attach_nccl(group, Device("cuda"), std::chrono::seconds(60));
    const Tensor wanted = Tensor::arange(1000).to(DType::f32), x = wanted.to("cuda");
    group.all_reduce(x, "sum");
    group.broadcast(x, "send", 0);
    CHECK(x.to_vector<float>() == wanted.to_vector<float>());
    CHECK(group.all_gather(x, "gather").to_vector<float>() == wanted.to_vector<float>());
  });
}
