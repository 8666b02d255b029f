// The ranks' CUDA tensors over NCCL: what the host does about it, over a table of functions.
//
// NCCL waits for ever for a rank that does not come. So nothing here waits without asking the watchdog and NCCL's own
// error state, and a thread beside the training one follows what is under way: it tells the watchdog what is complete,
// and when the group is lost it aborts the communicator, so that a training thread that waits for the device goes on.
// The abort may hang in turn, and is not waited for longer than Options say.
#pragma once

#include <chrono>
#include <functional>
#include <memory>

#include "base/nccl_api.h"
#include "dist/process_group.h"

namespace rstorch::dist {

class NcclGroup final : public DeviceGroup {
 public:
  struct Options {
    int rank = 0;
    int size = 1;
    int device = 0;
    std::chrono::milliseconds timeout{60'000};  // to connect the ranks; without a watchdog also for a collective to be taken
    std::chrono::milliseconds ending{1000};     // to abort or to take leave
    std::function<NcclApi::Queue()> compute;    // the calling thread's queue of work to the device
    const Watchdog* watchdog = nullptr;         // must outlive the group
  };

  // On all ranks at once, with one rank's id. Throws DistError, and what the watchdog throws.
  NcclGroup(const NcclApi& api, const NcclApi::Id& id, const Options& options);
  ~NcclGroup() override;
  NcclGroup(const NcclGroup&) = delete;
  NcclGroup& operator=(const NcclGroup&) = delete;

  std::string name() const override;
  WorkPtr all_reduce(Call call, void* data, size_t count, DType dtype, ReduceOp op) override;
  WorkPtr broadcast(Call call, void* data, size_t bytes, int root) override;
  WorkPtr all_gather(Call call, const void* mine, void* all, size_t bytes) override;
  void check() const override;

 private:
  class Communicator;
  class Follower;
  class CollectiveWork;
  template <class F>
  WorkPtr start(Call call, F&& launch);

  std::unique_ptr<Communicator> communicator_;
  std::unique_ptr<Follower> follower_;
};

// All ranks get the id that rank 0 makes. Throws DistError.
NcclApi::Id share_nccl_id(const NcclApi& api, ProcessGroup& group);

}  // namespace rstorch::dist
