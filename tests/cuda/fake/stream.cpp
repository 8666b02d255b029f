// Streams, events and graphs.
#include <cstdlib>
#include <deque>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include <cuda_runtime_api.h>

#include "memory.h"

using Work = std::function<void()>;

struct FakeGraph {
  std::vector<Work> work;
};
struct FakeGraphExec {
  std::shared_ptr<const FakeGraph> graph;  // a launch that was put off outlives it
};

// Held by whoever does or puts off late work: any thread may have to do that of another.
std::recursive_mutex late_work;
using Lock = std::lock_guard<std::recursive_mutex>;

// Work has numbers, in the order in which it was submitted.
struct FakeStream {
  explicit FakeStream(bool late) : late(late) {}

  const bool late;
  std::deque<Work> waiting;
  size_t submitted = 0;
  std::unique_ptr<FakeGraph> recorded;  // while it captures
  bool spoiled = false;

  size_t done() const { return submitted - waiting.size(); }
  void run_until(size_t number) {
    const Lock lock(late_work);
    while (done() < number) {
      const Work work = std::move(waiting.front());
      waiting.pop_front();
      work();
    }
  }
};
struct FakeEvent {
  cudaStream_t stream = nullptr;
  size_t number = 0;
};

namespace {

// Never destroyed: threads and static objects may outlive it.
std::vector<cudaStream_t>& streams = *new std::vector<cudaStream_t>;
thread_local cudaStream_t capturing = nullptr;

}  // namespace

namespace fake_cuda {

bool refused_by_capture() {
  if (!capturing) return false;
  capturing->spoiled = true;
  return true;
}

void finish_all() {
  const Lock lock(late_work);
  for (const cudaStream_t stream : streams) stream->run_until(stream->submitted);
}

void submit(cudaStream_t stream, Work work) {
  if (stream->recorded) return stream->recorded->work.push_back(std::move(work));
  if (!stream->late) return work();
  const Lock lock(late_work);
  ++stream->submitted;
  stream->waiting.push_back(std::move(work));
}

bool is_late(cudaStream_t stream) { return stream->late || stream->recorded; }

}  // namespace fake_cuda

using namespace fake_cuda;

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  const Lock lock(late_work);
  *stream = new FakeStream(!streams.empty() || std::getenv("RSTORCH_FAKE_CUDA_LATE"));
  streams.push_back(*stream);
  return cudaSuccess;
}
// It stays: work of other streams may wait for its events.
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  stream->run_until(stream->submitted);
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  if (refused_by_capture()) return remember(cudaErrorStreamCaptureUnsupported);
  stream->run_until(stream->submitted);
  return cudaSuccess;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  if (refused_by_capture()) return remember(cudaErrorStreamCaptureUnsupported);
  submit(stream, [before = *event] {
    if (before.stream) before.stream->run_until(before.number);
  });
  return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = new FakeEvent;
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  if (refused_by_capture()) return remember(cudaErrorStreamCaptureUnsupported);
  const Lock lock(late_work);
  *event = {stream, stream->submitted};
  return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  if (refused_by_capture()) return remember(cudaErrorStreamCaptureUnsupported);
  if (event->stream) event->stream->run_until(event->number);
  return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  if (refused_by_capture()) return remember(cudaErrorStreamCaptureUnsupported);
  stream->recorded = std::make_unique<FakeGraph>();
  capturing = stream;
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  if (!stream->recorded) return remember(cudaErrorInvalidValue);
  capturing = nullptr;
  const std::unique_ptr<FakeGraph> recorded = std::move(stream->recorded);
  const bool spoiled = std::exchange(stream->spoiled, false);
  *graph = spoiled ? nullptr : new FakeGraph(*recorded);
  return spoiled ? remember(cudaErrorStreamCaptureInvalidated) : cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* ready, cudaGraph_t graph, unsigned long long) {
  *ready = new FakeGraphExec{std::make_shared<const FakeGraph>(*graph)};
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph) {
  delete graph;
  return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t stream) {
  submit(stream, [graph = graph->graph] {
    for (const Work& work : graph->work) work();
  });
  return cudaSuccess;
}
