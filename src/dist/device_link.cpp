#include "dist/device_link.h"

#include <algorithm>
#include <map>

#include "base/error.h"
#include "dist/nccl_group.h"
#include "dist/socket.h"
#include "tensor/runtime.h"

namespace rstorch::dist {
namespace {

RankPlace place_of(ProcessGroup& group, Device device) {
  RankPlace out{host_name(), {}, {}};
  if (device.is_cpu()) {
    out.no_nccl = "works on the CPU";
    return out;
  }
  out.gpu = cuda::bus_id(device.index);
  if (!group.has_own_process()) out.no_nccl = "is a thread beside other ranks of one process";
  std::string why;
  if (!cuda::nccl(why)) out.no_nccl = format("has no NCCL: {}", why);
  return out;
}

// Three lines: none of the texts has more than one.
std::string pack(const RankPlace& place) { return format("{}\n{}\n{}", place.host, place.gpu, place.no_nccl); }

RankPlace unpack(const std::string& text) {
  const size_t host_end = text.find('\n'), gpu_end = text.find('\n', host_end + 1);
  return {text.substr(0, host_end), text.substr(host_end + 1, gpu_end - host_end - 1), text.substr(gpu_end + 1)};
}

}  // namespace

int number_on_host(ProcessGroup& group) {
  const std::vector<std::string> hosts = group.gather_text(host_name(), "names of the hosts");
  const auto mine = hosts.begin() + group.rank();
  return int(std::count(hosts.begin(), mine, *mine));
}

std::vector<RankPlace> gather_places(ProcessGroup& group, Device device) {
  std::vector<RankPlace> out;
  for (const std::string& text : group.gather_text(pack(place_of(group, device)), "devices of the ranks")) {
    out.push_back(unpack(text));
  }
  return out;
}

std::string why_not_nccl(const std::vector<RankPlace>& places) {
  std::map<std::string, size_t> owners;
  for (size_t rank = 0; rank < places.size(); ++rank) {
    const RankPlace& place = places[rank];
    if (!place.no_nccl.empty()) return format("rank {} {}", rank, place.no_nccl);
    const auto [owner, is_first] = owners.emplace(place.host + '\n' + place.gpu, rank);
    if (!is_first) return format("ranks {} and {} share the GPU {} of {}", owner->second, rank, place.gpu, place.host);
  }
  return {};
}

std::string attach_nccl(ProcessGroup& group, Device device, std::chrono::milliseconds timeout) {
  std::string why;
  const NcclApi* const api = cuda::nccl(why);
  if (!api) throw DistError(format("rank {} has no NCCL: {}", group.rank(), why), "set distributed.backend: mpi");
  NcclGroup::Options options;
  options.rank = group.rank();
  options.size = group.size();
  options.device = device.index;
  options.timeout = timeout;
  options.compute = [device] {
    return static_cast<NcclApi::Queue>(static_cast<CudaStream&>(current_stream(device)).handle());
  };
  options.watchdog = group.watchdog();
  auto made = std::make_unique<NcclGroup>(*api, share_nccl_id(*api, group), options);
  std::string name = made->name();
  group.attach(std::move(made));
  return name;
}

}  // namespace rstorch::dist
