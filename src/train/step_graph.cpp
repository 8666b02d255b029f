#include "train/step_graph.h"

#include "base/error.h"
#include "base/log.h"
#include "tensor/arithmetic.h"
#include "tensor/runtime.h"

namespace rstorch {
namespace {

// While it lives, a stream's work takes its memory here.
class TakesFrom {
 public:
  TakesFrom(CudaStream& stream, Allocator& memory, Workspace& workspace)
      : stream_(stream), before_(stream.allocator()) {
    stream.set_allocator(&memory);
    stream.set_workspace(&workspace);
  }
  ~TakesFrom() {
    stream_.set_allocator(&before_);
    stream_.set_workspace(nullptr);
  }
  TakesFrom(const TakesFrom&) = delete;
  TakesFrom& operator=(const TakesFrom&) = delete;

 private:
  CudaStream& stream_;
  Allocator& before_;
};

}  // namespace

StepGraph::StepGraph(Device device, GraphMode mode)
    : device_(device),
      mode_(mode),
      stream_(static_cast<CudaStream&>(current_stream(device))),
      pool_(stream_.allocator()) {}

StepGraph::Kind StepGraph::kind_of(const data::Batch& batch) {
  Kind kind{batch.x.shape(), batch.y.shape(), batch.x.dtype(), batch.y.dtype(), {}};
  for (const data::Part& part : batch.parts) kind.parts.push_back(part.size);
  return kind;
}

void StepGraph::run(const data::Batch& batch, uint64_t step, const Queue& queue) {
  if (!serves(batch)) return queue(batch, nullptr);
  if (stage_ == Stage::watch) return watch(batch, queue);
  set_inputs(batch, step);
  if (stage_ == Stage::warm_up) return warm_up(queue);
  if (stage_ == Stage::capture) {
    try {
      capture(queue);
    } catch (const Error& error) {
      give_up(error.what());
      return queue(batch, nullptr);
    }
  }
  graph_->launch();
}

// The kind of the largest batch is the one: the odd last of an epoch may be the first of a run.
bool StepGraph::serves(const data::Batch& batch) {
  if (stage_ == Stage::given_up) return false;
  const Kind kind = kind_of(batch);
  if (kind == kind_) return true;
  const bool is_better = stage_ != Stage::replay && (kind_.parts.empty() || batch.x.numel() > kind_.x.numel());
  if (!is_better) return false;
  kind_ = kind;
  stage_ = Stage::watch;
  return true;
}

void StepGraph::watch(const data::Batch& batch, const Queue& queue) {
  const NoHostSync watched(stream_, NoHostSync::Action::note);
  queue(batch, nullptr);
  if (!watched.noted().empty()) return give_up(watched.noted());
  stage_ = Stage::warm_up;
}

void StepGraph::set_inputs(const data::Batch& batch, uint64_t step) {
  if (stage_ == Stage::warm_up) {
    inputs_ = batch;
    inputs_.x = empty_like(batch.x);
    inputs_.y = empty_like(batch.y);
    places_ = Tensor::empty({int64_t(batch.parts.size() * sizeof(StepPlace))}, {DType::u8, device_});
  }
  copy_into(inputs_.x, batch.x);
  copy_into(inputs_.y, batch.y);
  host_places_.clear();
  for (const data::Part& part : batch.parts) host_places_.push_back({step, uint64_t(part.first)});
  // CUDA has copied from ordinary memory before the call returns, without waiting for the device ("API synchronization
  // behavior" in its documentation).
  stream_.copy_bytes(places_.raw_data(), host_places_.data(), places_.bytes());
}

void StepGraph::warm_up(const Queue& queue) {
  const TakesFrom own(stream_, pool_, workspace_);
  const NoHostSync watched(stream_, NoHostSync::Action::note);
  queue(inputs_, places());
  if (!watched.noted().empty()) return give_up(watched.noted());
  stage_ = Stage::capture;
}

void StepGraph::capture(const Queue& queue) {
  const TakesFrom own(stream_, pool_, workspace_);
  const NoHostSync watched(stream_);
  const size_t before = pool_.stats().system_allocations;
  graph_ = stream_.capture([&] { queue(inputs_, places()); });
  const size_t more = pool_.stats().system_allocations - before;
  if (more > 0) throw DeviceError(format("it took {} more blocks of memory than the step before it", more));
  stage_ = Stage::replay;
}

void StepGraph::give_up(const std::string& why) {
  if (mode_ == GraphMode::on) {
    throw ConfigError(format("trainer.graph is on, but the step cannot be recorded: {}", why),
                      "leave out what makes it so, or trainer.graph");
  }
  logging::info(format("steps run without a CUDA graph: {}", why));
  graph_.reset();
  inputs_ = {};
  stage_ = Stage::given_up;
}

void StepGraph::forget() {
  if (stage_ == Stage::given_up) return;
  graph_.reset();
  stage_ = Stage::watch;
}

}  // namespace rstorch
