#include "dist/distributed.h"

#include <cstdlib>

#include "base/error.h"
#include "dist/connect.h"
#include "dist/device_link.h"
#include "dist/last_words.h"
#include "tensor/runtime.h"

namespace rstorch::distributed {
namespace {

dist::GroupPtr current;
int local_rank = 0;

// A rank that ends without a word is taken for lost.
void leave_at_exit() {
  if (!current) return;
  try {
    current->leave();
  } catch (const Error&) {
    // The others are lost, and whoever noticed has said so.
  }
  current.reset();
}

void check_backend(std::string_view backend) {
  if (backend == "auto" || backend == "mpi" || backend == "nccl") return;
  throw ArgumentError(format("init_process_group: backend is \"{}\", wanted \"auto\", \"mpi\" or \"nccl\"", backend),
                      backend == "gloo" ? "gloo is PyTorch's backend for CPUs; here it is \"mpi\"" : "");
}

// The watchdog hears of ranks five times a second.
void check_timeout(std::chrono::milliseconds timeout) {
  if (timeout >= std::chrono::seconds(1)) return;
  throw ArgumentError(format("init_process_group: timeout is {} ms, wanted 1 s or more", timeout.count()));
}

void check_place(const dist::ProcessGroup& group, int rank, int world_size) {
  const bool right = (rank < 0 || rank == group.rank()) && (world_size < 0 || world_size == group.size());
  if (right) return;
  const auto text = [](int number) { return number < 0 ? std::string("not given") : std::to_string(number); };
  throw ArgumentError(
      format("init_process_group: rank is {} and world_size {}, but the launcher says that this is rank {} of {}",
             text(rank), text(world_size), group.rank(), group.size()),
      "leave both out, and start with `mpirun -n WORLD_SIZE PROGRAM`");
}

// NCCL for the GPUs that the ranks of each host have by their numbers, where each has one.
void connect_devices(dist::ProcessGroup& group, std::string_view backend, std::chrono::milliseconds timeout) {
  if (group.size() == 1 || backend == "mpi") return;
  const Device device = cuda::is_available() ? Device(DeviceType::cuda, local_rank % cuda::device_count()) : kCPU;
  const std::string why_not = dist::why_not_nccl(dist::gather_places(group, device));
  if (why_not.empty())
    dist::attach_nccl(group, device, timeout);
  else if (backend == "nccl")
    throw DistError(format("init_process_group: NCCL cannot be used: {}", why_not), "use \"auto\" or \"mpi\"", 5);
}

}  // namespace

void init_process_group(std::string_view backend, int rank, int world_size, std::chrono::milliseconds timeout) {
  check_backend(backend);
  check_timeout(timeout);
  if (current) throw DistError("init_process_group: the process group was made before");
  dist::end_in_order_when_uncaught();
  dist::GroupPtr group = dist::connect().group;
  check_place(*group, rank, world_size);
  if (dist::Watchdog* const watchdog = group->watchdog()) watchdog->set_timeout(timeout);
  local_rank = dist::number_on_host(*group);
  connect_devices(*group, backend, timeout);
  current = std::move(group);
  // Only now: what leaving needs was made by connect(), and is destroyed after it.
  [[maybe_unused]] static const int once = std::atexit(leave_at_exit);
}

void destroy_process_group() {
  default_group().leave();
  current.reset();
}

bool is_initialized() { return current != nullptr; }

dist::ProcessGroup& default_group() {
  if (current) return *current;
  throw DistError("there is no process group", "call distributed::init_process_group() first");
}

int get_rank() { return default_group().rank(); }
int get_world_size() { return default_group().size(); }
int get_local_rank() { return default_group(), local_rank; }

void all_reduce(const Tensor& x, ReduceOp op) { default_group().all_reduce(x, "a tensor", op); }
void broadcast(const Tensor& x, int src) { default_group().broadcast(x, "a tensor", src); }
Tensor all_gather(const Tensor& x) { return default_group().all_gather(x, "a tensor"); }
void barrier() { default_group().barrier("barrier"); }

}  // namespace rstorch::distributed
