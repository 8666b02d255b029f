// How fast a config trains here: whole steps, and each layer's share of them.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "config/value.h"
#include "dist/process_group.h"
#include "train/experiment.h"

namespace rstorch {

struct BenchOptions {
  std::optional<int64_t> steps;  // unset: as many as a few seconds hold
};

struct LayerTime {
  std::string path;
  std::string kind;
  double forward_ms = 0;
  double backward_ms = 0;
  int64_t flops = 0;  // forward, of a batch
};

struct KernelTime {
  std::string name;
  double calls = 0;  // a step
  double ms = 0;     // a step
};

// What several ranks pay for being several. Medians over steps, of rank 0.
struct ExchangeTime {
  std::string backend;          // what carries the gradients: "mpi", "NCCL 2.28.9"
  double megabytes = 0;         // of gradients
  double compute_ms = 0;        // a step of the same samples without exchange, of the slowest rank
  double communication_ms = 0;  // the gradients alone, with nothing to compute
  double waited_ms = 0;         // of a step: what is left of that when the backward pass is through
};

struct BenchResult {
  std::string workload;  // the config's name
  std::string device;
  int threads = 0;
  int ranks = 1;
  int64_t batch_size = 0;  // of all ranks
  int64_t steps = 0;       // measured
  double median_ms = 0, p10_ms = 0, p90_ms = 0;
  double samples_per_s = 0;
  double gflop_per_s = 0;
  double peak_rss_bytes = 0;
  double peak_allocated_bytes = 0;
  double allocations_per_step = 0;         // from the caching allocator
  double system_allocations_per_step = 0;  // of them, those that went on to the system
  std::optional<ExchangeTime> exchange;    // with several ranks
  std::vector<LayerTime> layers;           // of rank 0: medians, measured apart from the steps and without fusion
  std::vector<KernelTime> kernels;         // slowest first
};

// Steps on one batch of the training data, again and again. All ranks take part; rank 0's result is the one to report.
BenchResult run_bench(const Experiment& experiment, const BenchOptions& options, dist::ProcessGroup& group);

std::string bench_text(const BenchResult& result);
config::Value bench_value(const BenchResult& result);

}  // namespace rstorch
