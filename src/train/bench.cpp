#include "train/bench.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <map>

#include <omp.h>

#include "tensor/runtime.h"
#include "train/layer_timer.h"
#include "train/learner.h"
#include "train/text_table.h"

namespace rstorch {
namespace {

using config::Value;

constexpr double kSeconds = 3;
constexpr int64_t kWarmUpSteps = 5;
constexpr int64_t kProfileSteps = 20;

// The value at a share q of the sorted list.
double quantile(std::vector<double> values, double q) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[size_t(q * double(values.size() - 1) + 0.5)];
}

// Highest resident memory of this process. getrusage would count the parent's at exec.
double peak_rss_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (!line.starts_with("VmHWM:")) continue;
    const size_t digits = line.find_first_of("0123456789");
    double kib = 0;
    std::from_chars(line.data() + digits, line.data() + line.size(), kib);
    return kib * 1024;
  }
  return 0;
}

class KernelTimer final : public StreamObserver {
 public:
  explicit KernelTimer(Stream& stream) : stream_(stream) { stream_.set_observer(this); }
  ~KernelTimer() override { stream_.set_observer(nullptr); }

  void before_launch(std::string_view) override {
    stream_.synchronize();
    begin_ = Clock::now();
  }
  void after_launch(std::string_view kernel) override {
    stream_.synchronize();
    KernelTime& time = times_[std::string(kernel)];
    time.calls += 1;
    time.ms += seconds_since(begin_) * 1e3;
  }
  std::vector<KernelTime> per_step(int64_t steps) const {
    std::vector<KernelTime> out;
    for (const auto& [name, time] : times_) out.push_back({name, time.calls / double(steps), time.ms / double(steps)});
    std::sort(out.begin(), out.end(), [](const KernelTime& a, const KernelTime& b) { return a.ms > b.ms; });
    return out;
  }

 private:
  Stream& stream_;
  Clock::time_point begin_;
  std::map<std::string, KernelTime> times_;
};

// Runs f until `steps` are done or, without that, the time is over; at least ten times.
template <class F>
std::vector<double> time_steps(const BenchOptions& options, F&& f) {
  std::vector<double> times;
  const Clock::time_point begin = Clock::now();
  const auto more = [&] {
    const auto done = int64_t(times.size());
    return options.steps ? done < *options.steps : done < 10 || seconds_since(begin) < kSeconds;
  };
  while (more()) {
    const Clock::time_point step_begin = Clock::now();
    f();
    times.push_back(seconds_since(step_begin));
  }
  return times;
}

void measure_steps(BenchResult& result, Learner& learner, const data::Batch& batch, const BenchOptions& options) {
  Stream& stream = current_stream(learner.device());
  Allocator& allocator = stream.allocator();
  const auto step = [&] {
    learner.step(batch);
    stream.synchronize();
  };
  for (int64_t i = 0; i < kWarmUpSteps; ++i) step();
  const Allocator::Stats before = allocator.stats();
  const std::vector<double> times = time_steps(options, step);
  const Allocator::Stats after = allocator.stats();

  result.steps = int64_t(times.size());
  result.median_ms = quantile(times, 0.5) * 1e3;
  result.p10_ms = quantile(times, 0.1) * 1e3;
  result.p90_ms = quantile(times, 0.9) * 1e3;
  result.samples_per_s = double(batch.size) / result.median_ms * 1e3;
  result.allocations_per_step = double(after.allocations - before.allocations) / double(times.size());
  result.system_allocations_per_step =
      double(after.system_allocations - before.system_allocations) / double(times.size());
  result.peak_allocated_bytes = double(after.peak_bytes);
  result.peak_rss_bytes = peak_rss_bytes();
}

void measure_kernels(BenchResult& result, Learner& learner, const data::Batch& batch) {
  const KernelTimer timer(current_stream(learner.device()));
  for (int64_t i = 0; i < kProfileSteps; ++i) learner.step(batch);
  result.kernels = timer.per_step(kProfileSteps);
}

void measure_layers(BenchResult& result, Learner& learner, const data::Batch& batch) {
  LayerTimer timer(learner.model(), learner.device());
  for (int64_t i = 0; i < kProfileSteps; ++i) {
    learner.step(batch);
    timer.end_step();
  }
  for (const nn::LayerInfo& layer : learner.built().layers) {
    const auto times = timer.times().find(layer.path);
    if (times == timer.times().end()) continue;
    result.layers.push_back({layer.path, layer.kind, quantile(times->second.forward, 0.5) * 1e3,
                             quantile(times->second.backward, 0.5) * 1e3, layer.flops * batch.size});
  }
}

}  // namespace

BenchResult run_bench(const Experiment& experiment, const BenchOptions& options) {
  BenchResult result;
  const Device device = experiment.choose_device();
  const data::DatasetPtr data = experiment.data.open(experiment.seed()).train;
  const dist::GroupPtr alone = dist::single();
  Learner learner = make_learner(experiment, *data, run_length(experiment, *data), device, *alone);
  const data::DataLoader loader(*data, experiment.train_options());
  const data::Batch batch = *loader.stream(0, 1).next();

  result.workload = experiment.config.run.name;
  result.device = device.text();
  result.threads = omp_get_max_threads();
  result.batch_size = batch.size;
  measure_steps(result, learner, batch, options);
  measure_kernels(result, learner, batch);
  measure_layers(result, learner, batch);
  double flops = 0;
  for (const nn::LayerInfo& layer : learner.built().layers) flops += 3 * double(layer.flops * batch.size);
  result.gflop_per_s = flops / result.median_ms / 1e6;
  return result;
}

std::string bench_text(const BenchResult& result) {
  using Align = TextTable::Align;
  std::string out = format(
      "{}: batch {}, {}, {} threads, {} steps\n"
      "step        {:.3f} ms (p10 {:.3f}, p90 {:.3f})\n"
      "throughput  {} samples/s, {:.1f} GFLOP/s\n"
      "memory      {} resident at most, {} in tensors\n"
      "allocations {:.0f} a step, {:.2g} of them from the system\n\n",
      result.workload, result.batch_size, result.device, result.threads, result.steps, result.median_ms, result.p10_ms,
      result.p90_ms, grouped(int64_t(result.samples_per_s)), result.gflop_per_s, bytes_text(result.peak_rss_bytes),
      bytes_text(result.peak_allocated_bytes), result.allocations_per_step, result.system_allocations_per_step);
  TextTable layers({{"layer"},
                    {"kind"},
                    {"forward ms", Align::right},
                    {"backward ms", Align::right},
                    {"forward GFLOP/s", Align::right}});
  for (const LayerTime& layer : result.layers) {
    const double rate = double(layer.flops) / layer.forward_ms / 1e6;
    layers.add({layer.path, layer.kind, format("{:.3f}", layer.forward_ms), format("{:.3f}", layer.backward_ms),
                layer.flops > 0 ? format("{:.1f}", rate) : ""});
  }
  TextTable kernels({{"kernel"}, {"calls a step", Align::right}, {"ms a step", Align::right}});
  for (const KernelTime& kernel : result.kernels) {
    kernels.add({kernel.name, format("{:.4g}", kernel.calls), format("{:.3f}", kernel.ms)});
  }
  return out + layers.text() + "\n" + kernels.text();
}

Value bench_value(const BenchResult& result) {
  Value layers = Value::list();
  for (const LayerTime& layer : result.layers) {
    layers.append(Value::map({{"name", layer.path},
                              {"kind", layer.kind},
                              {"forward_ms", layer.forward_ms},
                              {"backward_ms", layer.backward_ms},
                              {"flops", layer.flops}}));
  }
  Value kernels = Value::list();
  for (const KernelTime& kernel : result.kernels) {
    kernels.append(Value::map({{"name", kernel.name}, {"calls", kernel.calls}, {"ms", kernel.ms}}));
  }
  return Value::map(
      {{"workload", result.workload},
       {"device", result.device},
       {"threads", result.threads},
       {"batch_size", result.batch_size},
       {"steps", result.steps},
       {"step_ms", Value::map({{"median", result.median_ms}, {"p10", result.p10_ms}, {"p90", result.p90_ms}})},
       {"samples_per_s", result.samples_per_s},
       {"gflop_per_s", result.gflop_per_s},
       {"peak_rss_bytes", result.peak_rss_bytes},
       {"peak_allocated_bytes", result.peak_allocated_bytes},
       {"allocations_per_step", result.allocations_per_step},
       {"system_allocations_per_step", result.system_allocations_per_step},
       {"layers", layers},
       {"kernels", kernels}});
}

}  // namespace rstorch
