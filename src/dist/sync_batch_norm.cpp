#include "dist/sync_batch_norm.h"

#include "dist/distributed.h"
#include "nn/batch_norm.h"

namespace rstorch::nn {
namespace {

class RankPeers final : public BatchPeers {
 public:
  explicit RankPeers(dist::ProcessGroup& group) : group_(group) {}
  Tensor gather(const Tensor& mine) override { return group_.all_gather(mine, "moments of a batch"); }
  void sum(const Tensor& x) override { group_.all_reduce(x, "sums of a batch's gradient"); }

 private:
  dist::ProcessGroup& group_;
};

}  // namespace

void SyncBatchNorm::convert_sync_batchnorm(Module& model, dist::ProcessGroup* process_group) {
  dist::ProcessGroup& group = process_group ? *process_group : distributed::default_group();
  synchronize_batch_norm(model, std::make_shared<RankPeers>(group));
}

}  // namespace rstorch::nn
