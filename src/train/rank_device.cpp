#include "train/rank_device.h"

#include <algorithm>

#include "base/log.h"
#include "dist/device_link.h"

namespace rstorch {
namespace {

[[noreturn]] void refuse_nccl(const Experiment& experiment, const std::string& why) {
  config::Report report;
  report.error(config::Code::resource, "`backend: nccl` cannot be used here")
      .at(experiment.root.at("distributed").at("backend"))
      .label(why)
      .help("write `backend: auto` to use NCCL where it can be used, else MPI; `rstorch doctor` says more");
  report.throw_if_errors();
  throw InternalError("a report with an error was taken for one without");
}

void connect_devices(const Experiment& experiment, dist::ProcessGroup& group, Device device) {
  const DistributedSection& distributed = experiment.config.distributed;
  const std::vector<dist::RankPlace> places = dist::gather_places(group, device);
  const bool on_gpus = std::ranges::any_of(places, [](const dist::RankPlace& place) { return !place.gpu.empty(); });
  const std::string why_not = dist::why_not_nccl(places);
  if (distributed.backend == Backend::nccl && !why_not.empty()) refuse_nccl(experiment, why_not);
  if (!on_gpus) return;
  if (distributed.backend == Backend::mpi || !why_not.empty()) {
    logging::info(format("ranks: {}, tensors of GPUs over {} through the CPU: {}", group.size(), group.backend(),
                         distributed.backend == Backend::mpi ? "distributed.backend says so" : why_not));
    return;
  }
  const std::string nccl = dist::attach_nccl(group, device, distributed.patience());
  logging::info(format("ranks: {}, tensors of GPUs over {}, all else over {}: each rank has a GPU of its own",
                       group.size(), nccl, group.backend()));
}

void say_precision(const Experiment& experiment, Device device) {
  const Precision precision = experiment.config.trainer.precision;
  if (precision == Precision::fp32 || device.is_cuda()) return;
  logging::info(format("precision: fp32 (CPUs compute {} as fp32)", config::name_of(precision)));
}

}  // namespace

Device prepare_device(const Experiment& experiment, dist::ProcessGroup& group) {
  if (group.watchdog()) group.watchdog()->set_timeout(experiment.config.distributed.patience());
  const bool one = group.size() == 1;
  const Device device =
      experiment.choose_device(one || experiment.config.device == "cpu" ? 0 : dist::number_on_host(group));
  if (!one) connect_devices(experiment, group, device);
  say_precision(experiment, device);
  return device;
}

}  // namespace rstorch
