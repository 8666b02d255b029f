#include "train/bench.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <map>

#include <omp.h>

#include "tensor/runtime.h"
#include "train/layer_timer.h"
#include "train/learner.h"
#include "train/rank_device.h"
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

template <class F>
double seconds_of(F&& f) {
  const Clock::time_point begin = Clock::now();
  f();
  return seconds_since(begin);
}

// Times of f, after a warm-up: as many as asked, else as a few seconds hold, at least ten; the same number on all
// ranks.
template <class F>
std::vector<double> time_steps(const BenchOptions& options, dist::ProcessGroup& group, F&& f) {
  std::vector<double> warm_up;
  for (int64_t i = 0; i < kWarmUpSteps; ++i) warm_up.push_back(seconds_of(f));
  const double expected = std::max(quantile(warm_up, 0.5), 1e-7);
  const Tensor count = Tensor::full({1}, options.steps.value_or(std::max<int64_t>(10, int64_t(kSeconds / expected))),
                                    {.dtype = DType::i64});
  group.broadcast(count, "number of steps");
  std::vector<double> times(size_t(count.item<int64_t>()));
  for (double& time : times) time = seconds_of(f);
  return times;
}

void measure_steps(BenchResult& result, Learner& learner, const data::Batch& batch, const BenchOptions& options,
                   dist::ProcessGroup& group) {
  Stream& stream = current_stream(learner.device());
  Allocator& allocator = stream.allocator();
  Allocator::Stats before;
  int64_t steps = 0;
  const std::vector<double> times = time_steps(options, group, [&] {
    if (steps++ == kWarmUpSteps) before = allocator.stats();
    learner.step(batch);
    stream.synchronize();
  });
  const Allocator::Stats after = allocator.stats();

  result.steps = int64_t(times.size());
  result.median_ms = quantile(times, 0.5) * 1e3;
  result.p10_ms = quantile(times, 0.1) * 1e3;
  result.p90_ms = quantile(times, 0.9) * 1e3;
  result.samples_per_s = double(batch.global_size) / result.median_ms * 1e3;
  result.allocations_per_step = double(after.allocations - before.allocations) / double(times.size());
  result.system_allocations_per_step =
      double(after.system_allocations - before.system_allocations) / double(times.size());
  result.peak_allocated_bytes = double(after.peak_bytes);
  result.peak_rss_bytes = peak_rss_bytes();
}

// The parts of a step on several ranks, each on its own.
ExchangeTime measure_exchange(const Experiment& experiment, const data::Dataset& data, Learner& learner,
                              const data::Batch& batch, const BenchOptions& options, dist::ProcessGroup& group) {
  ExchangeTime out;
  out.backend = group.carrier_of(learner.device());
  out.megabytes = double(learner.gradient_bytes()) / 1e6;
  Stream& stream = current_stream(learner.device());
  std::vector<double> waited;
  time_steps(options, group, [&] {
    learner.step(batch);
    stream.synchronize();
    waited.push_back(learner.reducer()->times().exposed);
  });
  out.waited_ms = quantile(waited, 0.5) * 1e3;
  out.communication_ms = quantile(time_steps(options, group,
                                             [&] {
                                               learner.reducer()->begin();
                                               learner.reducer()->finish();
                                               stream.synchronize();
                                             }),
                                  0.5) *
                         1e3;
  const dist::GroupPtr alone = dist::single();
  Learner own = make_learner(experiment, data, run_length(experiment, data), learner.device(), *alone);
  own.stop_replaying();  // as the steps that it is compared with
  out.compute_ms =
      quantile(
          time_steps(options, group,
                     [&] {
                       own.step(batch);
                       stream.synchronize();
                       group.barrier("end of the step");  // with the slowest rank, as a step with the exchange
                     }),
          0.5) *
      1e3;
  return out;
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

BenchResult run_bench(const Experiment& experiment, const BenchOptions& options, dist::ProcessGroup& group) {
  BenchResult result;
  const Device device = prepare_device(experiment, group);
  const data::DatasetPtr data = experiment.data.open(experiment.seed()).train;
  Learner learner = make_learner(experiment, *data, run_length(experiment, *data), device, group);
  const data::DataLoader loader(*data, experiment.train_options(group.rank(), group.size()));
  const data::Batch batch = *loader.stream(0, 1).next();

  result.workload = experiment.config.run.name;
  result.device = device.text();
  result.threads = omp_get_max_threads();
  result.ranks = group.size();
  result.batch_size = batch.global_size;
  measure_steps(result, learner, batch, options, group);
  if (group.size() > 1) result.exchange = measure_exchange(experiment, *data, learner, batch, options, group);
  learner.stop_replaying();  // launches and layers are seen one by one
  measure_kernels(result, learner, batch);
  measure_layers(result, learner, batch);
  double flops = 0;
  for (const nn::LayerInfo& layer : learner.built().layers) flops += 3 * double(layer.flops * batch.global_size);
  result.gflop_per_s = flops / result.median_ms / 1e6;
  return result;
}

namespace {

// What of the exchange costs no time: it happens while something is computed.
double hidden_ms(const ExchangeTime& exchange, double step_ms) {
  const double exposed = step_ms - exchange.compute_ms;
  return std::clamp(exchange.communication_ms - exposed, 0.0, exchange.communication_ms);
}

std::string exchange_text(const ExchangeTime& exchange, double step_ms) {
  const double hidden = hidden_ms(exchange, step_ms);
  return format(
      "exchange    {:.1f} MB of gradients over {}: {:.3f} ms alone, beside {:.3f} ms to compute; {:.3f} ms of it "
      "hidden "
      "({:.0f} %)\n",
      exchange.megabytes, exchange.backend, exchange.communication_ms, exchange.compute_ms, hidden,
      100 * hidden / std::max(exchange.communication_ms, 1e-9));
}

Value exchange_value(const ExchangeTime& exchange, double step_ms) {
  return Value::map({{"backend", exchange.backend},
                     {"megabytes", exchange.megabytes},
                     {"compute_ms", exchange.compute_ms},
                     {"communication_ms", exchange.communication_ms},
                     {"waited_ms", exchange.waited_ms},
                     {"hidden_ms", hidden_ms(exchange, step_ms)}});
}

}  // namespace

std::string bench_text(const BenchResult& result) {
  using Align = TextTable::Align;
  std::string out = format(
      "{}: batch {}, {}{}, {} threads, {} steps\n"
      "step        {:.3f} ms (p10 {:.3f}, p90 {:.3f})\n"
      "throughput  {} samples/s, {:.1f} GFLOP/s\n"
      "memory      {} resident at most, {} in tensors\n"
      "allocations {:.0f} a step, {:.2g} of them from the system\n",
      result.workload, result.batch_size, result.ranks > 1 ? format("{} ranks, each on ", result.ranks) : "",
      result.device, result.threads, result.steps, result.median_ms, result.p10_ms, result.p90_ms,
      grouped(int64_t(result.samples_per_s)), result.gflop_per_s, bytes_text(result.peak_rss_bytes),
      bytes_text(result.peak_allocated_bytes), result.allocations_per_step, result.system_allocations_per_step);
  if (result.exchange) out += exchange_text(*result.exchange, result.median_ms);
  out += "\n";
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
  Value out = Value::map(
      {{"workload", result.workload},
       {"device", result.device},
       {"threads", result.threads},
       {"ranks", result.ranks},
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
  if (result.exchange) out.set("exchange", exchange_value(*result.exchange, result.median_ms));
  return out;
}

}  // namespace rstorch
