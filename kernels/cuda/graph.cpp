#include "kernels/cuda/graph.h"

#include "kernels/cuda/check.h"
#include "kernels/cuda/owned.h"

namespace rstorch::kernels {
namespace {

using Recorded = Owned<cudaGraph_t, cudaGraphDestroy>;
using Ready = Owned<cudaGraphExec_t, cudaGraphExecDestroy>;

class Graph final : public DeviceGraph {
 public:
  Graph(Ready ready, cudaStream_t queue) : ready_(std::move(ready)), queue_(queue) {}
  void launch() override { check(cudaGraphLaunch(ready_.get(), queue_), "cudaGraphLaunch"); }

 private:
  Ready ready_;
  cudaStream_t queue_;
};

cudaError_t end_capture(cudaStream_t queue, Recorded& recorded) {
  cudaGraph_t graph = nullptr;
  const cudaError_t code = cudaStreamEndCapture(queue, &graph);
  recorded.reset(graph);
  return code;
}

}  // namespace

std::unique_ptr<DeviceGraph> record(cudaStream_t queue, const std::function<void()>& work) {
  Recorded recorded;
  check(cudaStreamBeginCapture(queue, cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
  try {
    work();
  } catch (...) {
    end_capture(queue, recorded);
    cudaGetLastError();
    throw;
  }
  check(end_capture(queue, recorded), "cudaStreamEndCapture");
  cudaGraphExec_t ready = nullptr;
  check(cudaGraphInstantiate(&ready, recorded.get(), 0), "cudaGraphInstantiate");
  return std::make_unique<Graph>(Ready(ready), queue);
}

}  // namespace rstorch::kernels
