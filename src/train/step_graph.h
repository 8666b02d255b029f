// StepGraph: a training step as one CUDA graph, recorded once and replayed.
//
//   graph.run(batch, step, [&](const data::Batch& batch, const StepPlace* places) { ... queue it all ... });
//
// What a step queues is the same each time, but for numbers that its kernels read from the device's memory: the batch,
// its place in the run, and what the caller refreshes there before. So a replay gives the bits that the step itself
// would give, for one launch of the host.
//
// The first step of a kind runs on ordinary memory, while whatever makes the host wait is noted; the second on memory
// of the graph's own and from fixed inputs, which fills that memory; the third is recorded, and launched as those after
// it. Smaller batches, the odd last one of an epoch, run as they are.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/memory_pool.h"
#include "base/random_key.h"
#include "base/stream.h"
#include "data/loader.h"
#include "train/run_config.h"

namespace rstorch {

class StepGraph {
 public:
  // A CUDA device. With GraphMode::automatic a step that cannot be recorded runs as it is from then on, and one line in
  // the log says why; with GraphMode::on that is a ConfigError.
  StepGraph(Device device, GraphMode mode);

  // Queues a step of a batch that is on the device, without a wait. Where places are given, there is one for each part
  // of the batch, and they are to be used in place of the step's number and the parts' first samples.
  using Queue = std::function<void(const data::Batch& batch, const StepPlace* places)>;
  void run(const data::Batch& batch, uint64_t step, const Queue& queue);
  // For when something else than a step has changed what the step works on: the next one is a first one.
  void forget();

  // That, and gives back the memory of a step.
  void trim() {
    forget();
    pool_.trim();
  }

  bool is_captured() const { return graph_ != nullptr; }

 private:
  // What is the same of all batches that a graph serves.
  struct Kind {
    Shape x, y;
    DType x_dtype = DType::f32, y_dtype = DType::f32;
    std::vector<int64_t> parts;  // their sizes; empty: no kind yet
    bool operator==(const Kind&) const = default;
  };
  static Kind kind_of(const data::Batch& batch);
  enum class Stage { watch, warm_up, capture, replay, given_up };

  bool serves(const data::Batch& batch);
  void watch(const data::Batch& batch, const Queue& queue);
  void set_inputs(const data::Batch& batch, uint64_t step);
  void warm_up(const Queue& queue);
  void capture(const Queue& queue);
  void give_up(const std::string& why);
  const StepPlace* places() const { return static_cast<const StepPlace*>(places_.raw_data()); }

  Device device_;
  GraphMode mode_;
  CudaStream& stream_;
  Stage stage_ = Stage::watch;
  Kind kind_;
  MemoryPool pool_;
  Workspace workspace_;  // from the pool
  data::Batch inputs_;
  std::vector<StepPlace> host_places_;
  Tensor places_;
  std::unique_ptr<DeviceGraph> graph_;
};

}  // namespace rstorch
